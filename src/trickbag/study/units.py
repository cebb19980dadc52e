"""What pairs the trials of a study: a seed, or a seed on a fold of one of its splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from trickbag.errors import UserError
from trickbag.ranges import Seed

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Variant
    from trickbag.study.trial import Trial

__all__ = [
    "MAX_SPLITS",
    "SEEDS_OF_FOLD",
    "FoldSeed",
    "Folds",
    "Unit",
    "by_fold",
    "number_of",
    "recipe_of",
    "seed_of",
    "unit_text",
]

MAX_SPLITS = 100
"""The most divisions of the data into folds."""

SEEDS_OF_FOLD = 1000
"""Each fold has so many seeds of its own: those of the second one begin at 1000."""


class FoldSeed(NamedTuple):
    """A seed on a fold of a split, both counted from 0."""

    split: int
    fold: int
    seed: int

    @property
    def number(self) -> int:
        """Which of the seeds of its fold it is, from 0 on."""
        return self.seed % SEEDS_OF_FOLD


Unit = int | FoldSeed
"""What trials of a study have in common that are compared: in a study without folds a seed."""


@dataclass(frozen=True, kw_only=True)
class Folds:
    """How a study divides its training and validation images: into `count` folds, `splits` times.

    The first split is by the recipe's own split seed, each further one by the seed that follows.
    Each fold of each split has training seeds of its own. What a seed does would otherwise be the
    same on all folds, and not in the spread of their differences, from which the interval follows.
    """

    count: int
    splits: int = 1

    @property
    def overlap(self) -> float:
        """The share of the images that judge a run, over that of the images that train it."""
        return 1 / (self.count - 1)

    def units(self, seeds: Iterable[int]) -> list[FoldSeed]:
        """Return the units in the order in which they are run: a study that stops has whole seeds.

        `seeds` count those of each fold, below SEEDS_OF_FOLD.
        """
        return [
            FoldSeed(split, fold, seed + SEEDS_OF_FOLD * (split * self.count + fold))
            for split in range(self.splits)
            for seed in seeds
            for fold in range(self.count)
        ]

    def data(self, data: DataConfig, split: int = 0, fold: int = 0) -> DataConfig:
        """Return the settings of the data of a fold."""
        seed = data.split_seed + split
        if seed not in Seed:
            raise UserError(
                f"data.split_seed = {data.split_seed}: {self.splits} splits need the seeds that "
                "follow it",
                "take a smaller one",
            )
        return dataclasses.replace(data, folds=self.count, fold=fold, split_seed=seed)

    def on_first(self, trial: Trial) -> Recipe:
        """Return the recipe of a trial, on the first fold of the first split."""
        data = trial.recipe.data
        first = dataclasses.replace(data, fold=0, split_seed=data.split_seed - (trial.split or 0))
        return trial.recipe.replace(data=first)

    def recipe(self, recipe: Recipe, unit: FoldSeed) -> Recipe:
        """Return the recipe of a trial."""
        return recipe.replace(data=self.data(recipe.data, unit.split, unit.fold))


def seed_of(unit: Unit) -> int:
    """Return the seed of a unit."""
    return unit.seed if isinstance(unit, FoldSeed) else unit


def number_of(unit: Unit) -> int:
    """Return the number of a unit's seed: of a fold, among the seeds of that fold."""
    return unit.number if isinstance(unit, FoldSeed) else unit


def recipe_of(variant: Variant, unit: Unit, folds: Folds | None) -> Recipe:
    """Return the recipe of a variant that applies, as a trial has it."""
    recipe = variant.recipe_of(number_of(unit))
    if folds is None or not isinstance(unit, FoldSeed):
        return recipe
    return folds.recipe(recipe, unit)


def unit_text(unit: Unit, *, splits: bool = False) -> str:
    """Write a unit for a person: `3`, or `fold 2, seed 0`, with its split where there are more."""
    if not isinstance(unit, FoldSeed):
        return str(unit)
    split = f"split {unit.split}, " if splits else ""
    return f"{split}fold {unit.fold}, seed {unit.seed}"


def by_fold(units: Sequence[Unit]) -> Mapping[tuple[int, int], list[int]]:
    """Return the places of the units of each fold, by (split, fold) in order."""
    places: dict[tuple[int, int], list[int]] = {}
    for i, unit in enumerate(units):
        if isinstance(unit, FoldSeed):
            places.setdefault((unit.split, unit.fold), []).append(i)
    return dict(sorted(places.items()))
