"""The recipe of a probe: the classifier of a frozen network, fitted on its features."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.models.config import ModelConfig, TimmConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.probe import Probe
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_data_config, to_model_config

if TYPE_CHECKING:
    from trickbag.data.size import Size

__all__ = ["probe"]


def probe(
    *, data: Data = "digits", model: Model, init: str | None = None, pretrained: bool = False
) -> Recipe:
    """Fit a classifier on the features of a frozen network, once, in place of training.

    `model` is a config, the name of a network, or a run: its folder, `RUN:last`, or a weights file
    of a run, whose network and weights are then taken. `init` is a file of weights, `pretrained`
    those that timm publishes. Images have the size of the weights, if it is known and the data name
    none. Raises UserError for a run that cannot be read, and for a run with other weights.
    """
    config, weights = _network(model, init, pretrained)
    if isinstance(config, TimmConfig):
        # An auxiliary head takes part in training alone.
        config = dataclasses.replace(config, auxiliary_weight=0.0)
    data_config = to_data_config(data)
    if data_config.image_size is None:
        data_config = dataclasses.replace(
            data_config, image_size=_image_size(config, weights, pretrained)
        )
    return Recipe(
        name="probe",
        data=data_config,
        model=config,
        training=TrainConfig(
            epochs=1,
            batch_size=64,
            compile="off",
            init=weights,
            pretrained=pretrained,
            probe=Probe(),
        ),
    )


def _network(model: Model, init: str | None, pretrained: bool) -> tuple[ModelConfig, str | None]:
    """Return the config of a network, and the file of its weights."""
    from trickbag.errors import UserError
    from trickbag.paths import exists

    named = model if isinstance(model, str) else ""
    # A run's network may be named like a folder: a file or folder comes first.
    is_path = named and (exists(Path(named)) or named.endswith((":last", ".safetensors")))
    if not is_path:
        return to_model_config(model), init
    from trickbag.models.weights_metadata import WeightsMetadata

    if init is not None or pretrained:
        raise UserError(
            f"--model {named} has weights of its own", "leave --init and --pretrained out"
        )
    config = WeightsMetadata.read(Path(named)).model
    # What the run settled for its images and its training is settled anew.
    changes: dict[str, Any] = {"num_classes": 0}
    if isinstance(config, TimmConfig):
        changes["image_size"] = None
    else:
        changes["small_stem"] = "never"
    return dataclasses.replace(config, **changes), named


def _image_size(config: ModelConfig, weights: str | None, pretrained: bool) -> Size | None:
    """Return the size of the images of weights; None if there are none, or nothing says it."""
    if weights is not None:
        from trickbag.models.weights import preprocessing_of

        given = preprocessing_of(Path(weights), config)
        if given is not None:
            return given.image_size
    if weights is None and not pretrained:
        return None
    from trickbag.models.pretrained import timm_name
    from trickbag.models.published import published

    name = config.name if isinstance(config, TimmConfig) else timm_name(config)
    of_timm = None if name is None else published(name)
    return None if of_timm is None else of_timm.preprocessing.image_size
