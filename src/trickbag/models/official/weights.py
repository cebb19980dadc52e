"""The published weights of Lee et al. 2020: from files of their variables to networks of ours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError
from trickbag.models.config import BigLittleConfig, ModelConfig, ResNetConfig, Stem
from trickbag.models.official.convert import from_tensorflow
from trickbag.models.official.networks import (
    official_classes,
    official_config,
    official_name,
    official_names,
    official_preprocessing,
)
from trickbag.models.official.variables import read_variables
from trickbag.models.summary import summary
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import raw_network

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

__all__ = ["load_official", "weights_for"]


def load_official(path: Path, name: str) -> tuple[nn.Module, WeightsMetadata]:
    """Build an official network with the weights in a file of its variables, in evaluation mode.

    Returns it with the metadata that a weights file of it has. Raises UserError for a name that is
    not known, a file that cannot be read, and variables of another network.
    """
    config = official_config(name)
    state = _converted(path, name)
    config = dataclasses.replace(config, num_classes=len(state["fc.bias"]))
    network = raw_network(config)
    network.load_state_dict(state)
    metadata = WeightsMetadata(
        model=config,
        classes=official_classes(config.num_classes),
        preprocessing=official_preprocessing(name),
    )
    return network.eval(), metadata


def weights_for(config: ModelConfig, path: Path) -> tuple[dict[str, Tensor], list[Note]]:
    """Return the official weights that fit the network of a config, and notes on them.

    Raises UserError if the config is none of an official network, and as `load_official`.
    """
    name = official_name(config)
    if name is None:
        way_out = "take one, such as --model assemble_resnet50, or weights of this network"
        if _differs_in_stem(config):
            way_out = (
                "its stem was made for small images: --set model.small_stem=never leaves it "
                "as it was"
            )
        raise UserError(
            f"{path} holds the variables of an official network, but {summary(config)} is none of "
            f"them ({', '.join(official_names())})",
            way_out,
        )
    reasons = [f"weights of the official {name}"]
    if isinstance(config, ResNetConfig) and config.pooling != "tensorflow":
        reasons.append(
            "they were trained with TensorFlow's pools: --set model.pooling=tensorflow has those"
        )
    return _converted(path, name), [Note("weights", None, reason) for reason in reasons]


def _differs_in_stem(config: ModelConfig) -> bool:
    """Tell whether the config is that of an official network but for its stem."""
    if not isinstance(config, ResNetConfig | BigLittleConfig):
        return False
    stems: tuple[Stem, ...] = ("imagenet", "deep")
    return any(official_name(dataclasses.replace(config, stem=stem)) for stem in stems)


def _converted(path: Path, name: str) -> dict[str, Tensor]:
    variables = read_variables(path)
    try:
        return from_tensorflow(variables, name)
    except UserError as error:
        raise UserError(f"{path}: {error.reason}", error.way_out) from error
