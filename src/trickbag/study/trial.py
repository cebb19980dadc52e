"""Trials: a variant's recipe with a seed, and the id by which a study knows that it was run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.recipe import Recipe

__all__ = ["Trial", "trial_name"]


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


def trial_name(row: Mapping[str, Any]) -> str:
    """Name a trial for a person, by the `model`, `label` and `seed` of its result.

    The network is there in a study of one network too: lines of two studies are told apart.
    """
    return "{model}, {label}, seed {seed}".format_map(row)
