"""A network by its name with published weights: a trained network without a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.data.config import DataConfig
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import UserError
from trickbag.evaluate.trained import Trained
from trickbag.models.config import ModelConfig, TimmConfig, model_config
from trickbag.models.imagenet import imagenet_classes
from trickbag.models.pretrained import timm_name
from trickbag.models.published import published
from trickbag.models.transfer import SourceWeights, head_names
from trickbag.models.weights import enter_weights, read_tensors
from trickbag.models.weights_metadata import (
    WeightsMetadata,
    read_classes,
    read_image_size,
    weights_file,
)
from trickbag.models.zoo import build_network, build_on_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trickbag.models.config import Precision
    from trickbag.optim.config import Device

__all__ = ["initial_network", "load_network"]

_SIDE = 224
"""The image size of a network of which nothing else is known."""


def load_network(
    name: str,
    init: Path | str,
    device: Device = "auto",
    precision: Precision | None = None,
) -> Trained:
    """Load weights of a file into a network by its name, such as `timm:tf_efficientnet_lite0`.

    The file is safetensors, with timm's names of the tensors. If a run wrote it, classes and
    preprocessing are its own. Otherwise a network of 1,000 outputs has the classes of ImageNet by
    their WordNet ids, one of 1,001 a background before them, and images are prepared as timm says
    for its published weights. Raises UserError for an unknown name, for a file that cannot be read
    or does not fit, and for weights whose classes are not known.
    """
    config = model_config(name)
    file = weights_file(Path(init))
    tensors = read_tensors(file)
    outputs = _outputs(config, name, tensors, file)
    size = read_image_size(file)
    if isinstance(config, TimmConfig) and size is not None:
        config = dataclasses.replace(config, image_size=size)
    config = dataclasses.replace(config, num_classes=outputs)
    if read_classes(file) is not None:
        metadata = dataclasses.replace(WeightsMetadata.read(file), model=config)
    else:
        metadata = WeightsMetadata(
            model=config,
            classes=_classes(outputs, file),
            preprocessing=_preprocessing(config),
        )
    network = build_network(config, seed=0)
    source = SourceWeights(tensors=tensors, origin=str(file), image_size=size)
    notes = enter_weights(network, source, config=config, init_head="keep")
    trained = Trained.of_network(file, network, metadata, device, precision)
    return dataclasses.replace(trained, notes=tuple(notes))


def initial_network(
    name: str, device: Device = "auto", precision: Precision | None = None
) -> Trained:
    """Build a network by its name with initial values and 1,000 classes, to measure its speed.

    Images are prepared as timm says for its published weights, else at 224 px. Raises UserError
    for an unknown name.
    """
    config = dataclasses.replace(model_config(name), num_classes=1000)
    metadata = WeightsMetadata(
        model=config,
        classes=tuple(str(number) for number in range(1000)),
        preprocessing=_preprocessing(config),
    )
    return Trained.of_network(
        Path(name), build_network(config, seed=0), metadata, device, precision
    )


def _outputs(config: ModelConfig, name: str, tensors: Mapping[str, Tensor], file: Path) -> int:
    """Return the number of classes for which weights have a classifier."""
    config = dataclasses.replace(config, num_classes=1000)
    head = head_names(build_on_shapes(config), config)
    rows = {tensors[each].shape[0] for each in head if each in tensors and tensors[each].ndim}
    if len(rows) != 1:
        names = ", ".join(sorted(head)) or "none"
        raise UserError(
            f"{file} has no classifier of {name} (its tensors: {names})",
            "give weights of this network, under timm's names, with their classifier",
        )
    return int(rows.pop())


def _classes(outputs: int, file: Path) -> tuple[str, ...]:
    classes = imagenet_classes(outputs)
    if classes is None:
        raise UserError(
            f"{file} does not name its {outputs:,} classes: only ImageNet's 1,000, or 1,001 with "
            "a background, are known by their number",
            "give weights that `trickbag train` wrote, or of such a network",
        )
    return classes


def _preprocessing(config: ModelConfig) -> Preprocessing:
    name = timm_name(config)
    of_timm = None if name is None else published(name)
    return Preprocessing.of(DataConfig(), _SIDE) if of_timm is None else of_timm.preprocessing
