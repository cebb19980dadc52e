"""The published weights of Lee et al. 2020: from the files of their variables to networks of
ours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
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
from trickbag.models.zoo import raw_network
from trickbag.settings import plain

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

__all__ = ["load_official", "weights_for"]


def load_official(path: Path, name: str) -> tuple[nn.Module, dict[str, Any]]:
    """Build an official network with the weights in a file of its variables; return it with what a weights file says.

    The network is in evaluation mode. Raises UserError for a name that is not known, a file that
    cannot be read, and variables that are not that network's.
    """
    config = official_config(name)
    state = _converted(path, name)
    config = dataclasses.replace(config, num_classes=len(state["fc.bias"]))
    network = raw_network(config)
    network.load_state_dict(state)
    metadata = {
        "schema": 1,
        "model": plain(config),
        "classes": official_classes(config.num_classes),
        "preprocessing": plain(official_preprocessing(name)),
        "columns": None,
    }
    return network.eval(), metadata


def weights_for(config: ModelConfig, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights of an official network for the network of a config, which must be one, and notes on them.

    Raises UserError where it is none, and for what `load_official` refuses.
    """
    name = official_name(config)
    if name is None:
        way_out = "take one, such as --model assemble_resnet50, or weights of this network"
        if _but_for_its_stem(config):
            way_out = (
                "its stem was made for small images: --set model.small_stem=never leaves it "
                "as it was"
            )
        raise UserError(
            f"{path} holds the variables of an official network, but {summary(config)} is none of "
            f"them "
            f"({', '.join(official_names())}); {way_out}"
        )
    notes = [f"weights of the official {name}"]
    if isinstance(config, ResNetConfig) and config.pooling != "tensorflow":
        notes.append(
            "they were trained with TensorFlow's pools: --set model.pooling=tensorflow has those"
        )
    return _converted(path, name), notes


def _but_for_its_stem(config: ModelConfig) -> bool:
    if not isinstance(config, ResNetConfig | BigLittleConfig):
        return False
    stems: tuple[Stem, ...] = ("imagenet", "deep")
    return any(official_name(dataclasses.replace(config, stem=stem)) for stem in stems)


def _converted(path: Path, name: str) -> dict[str, Tensor]:
    variables = read_variables(path)
    try:
        return from_tensorflow(variables, name)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
