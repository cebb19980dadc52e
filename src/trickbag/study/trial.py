"""Trials: a variant's recipe with a seed, and the id by which a study knows that it was run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trickbag.recipe import Recipe

__all__ = ["Trial"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training run of a study.

    `id` hashes everything that determines the run (`identity.trial_of`); `label` is that of its
    variant, as is the recipe's name, and `model` the name of its network.
    """

    id: str
    label: str
    model: str
    recipe: Recipe
    seed: int
