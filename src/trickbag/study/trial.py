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
    variant, as is the recipe's name, and `model` the name of its network. `fold` is that of the
    data, None where they are not divided into folds, and `split` the division, None where there is
    one alone.
    """

    id: str
    label: str
    model: str
    recipe: Recipe
    seed: int
    fold: int | None = None
    split: int | None = None


def trial_name(row: Mapping[str, Any]) -> str:
    """Name a trial for a person, by the `model`, `label`, `seed`, `fold`, `split` of its result.

    The network is there in a study of one network too: lines of two studies are told apart.
    """
    name = "{model}, {label}, seed {seed}".format_map(row)
    for part in ("fold", "split"):
        if row.get(part) is not None:
            name += f", {part} {row[part]}"
    return name
