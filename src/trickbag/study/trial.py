"""Trials: a variant's recipe with a seed, and the id by which a study knows that it was run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.designs.design import Variant

__all__ = ["Trial", "trials_of"]


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


def trials_of(
    variants: Sequence[Variant], seeds: Iterable[int], identify: Callable[[Recipe, int], str]
) -> dict[str, Trial]:
    """Return the trials of all variants that apply, by id, in the order in which they are run.

    Seed by seed, so that a study that is stopped early has whole pairs. Variants that are the same
    run (a level that is the recipe's own) share one trial, which has the label of the first.
    """
    found: dict[str, Trial] = {}
    for seed in seeds:
        for variant in variants:
            if variant.recipe is None:
                continue
            name = identify(variant.recipe, seed)
            trial = Trial(
                id=name, label=variant.label, model=variant.model, recipe=variant.recipe, seed=seed
            )
            found.setdefault(name, trial)
    return found
