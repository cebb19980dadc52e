"""Runs that are compared are of one length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.recipe import Recipe

__all__ = ["ENDS_EARLY", "require_whole_runs"]

ENDS_EARLY = ("patience", "time_limit")
"""The settings of `training` by which a run ends before its last epoch."""


def require_whole_runs(recipes: Iterable[Recipe]) -> None:
    """Raise UserError for a recipe whose runs can end early: those compared would differ in length.

    By chance with `patience`, and by the load of the machine with `time_limit`.
    """
    for recipe in recipes:
        for name in ENDS_EARLY:
            value = getattr(recipe.training, name)
            if value is not None:
                raise UserError(
                    f"training.{name} = {value} of the recipe {recipe.name}: trials that are "
                    "compared must be trained for the same number of epochs",
                    f"--set training.{name}=none, and choose --epochs",
                )
