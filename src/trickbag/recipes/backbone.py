"""Recipes on the network of a run, or on one by name: the backbone of a detector, for example."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.models.config import model_config
from trickbag.models.weights_names import names_last_weights
from trickbag.paths import exists, is_folder

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig
    from trickbag.recipe import Recipe

__all__ = ["is_weights", "network_of", "require_finished", "with_backbone"]


def with_backbone(recipe: Recipe, backbone: str) -> Recipe:
    """Return a recipe on the network of a run, with its weights, or on a network by name.

    `backbone` is a run's folder, a weights file, `RUN:last` or a name; a network by name starts as
    the recipe says. Raises UserError for a path that is no run, and for a name that is not known.
    """
    if not is_weights(backbone):
        if len(Path(backbone).parts) > 1:
            raise UserError(
                f"--backbone {backbone!r}: there is no such folder or file",
                "give the folder of a run, or the name of a network",
            )
        return recipe.replace(model=model_config(backbone))
    training = dataclasses.replace(recipe.training, init=backbone, pretrained=False)
    # Its classes are not those of the data; what they are is taken from there.
    return recipe.replace(model=network_of(backbone), training=training)


def is_weights(backbone: str) -> bool:
    """Tell whether a text means weights, not the name of a network."""
    path = Path(backbone)
    return exists(path) or names_last_weights(path)


def network_of(weights: str) -> ModelConfig:
    """Return the network of a run, or of a weights file. Raises UserError if it does not say."""
    # Late: recipes load no torch, which the record of weights needs.
    from trickbag.models.weights_metadata import WeightsMetadata

    return WeightsMetadata.read(Path(weights)).model


def require_finished(weights: str) -> None:
    """Raise UserError for a run that has not finished: its weights are still going to change.

    A file that is no run's is left alone.
    """
    path = Path(weights)
    if not is_folder(path) or not exists(path / "recipe.json") or exists(path / "result.json"):
        return
    raise UserError(
        f"{path} has not finished: its weights will change",
        f"finish it with --resume, or give its file {path / 'best.safetensors'}",
    )
