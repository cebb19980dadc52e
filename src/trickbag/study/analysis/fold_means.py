"""Effects on folds: a mean over the seeds for each fold, and what a reader should know of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.study.analysis.notes import EffectNote
from trickbag.study.units import by_fold

if TYPE_CHECKING:
    from trickbag.study.units import Folds, Unit

__all__ = ["FoldDifference", "FoldDifferences", "fold_means", "values_by_fold"]


@dataclass(frozen=True, kw_only=True)
class FoldDifference:
    """The mean difference of the pairs on a fold, of so many seeds."""

    split: int
    fold: int
    seeds: int
    delta: float


@dataclass(frozen=True, kw_only=True)
class FoldDifferences:
    """The differences of an effect by fold: of `folds` folds, `splits` times, by split and fold.

    `seeds` is the number of seeds of the folds that have most of them.
    """

    folds: int
    splits: int
    differences: tuple[FoldDifference, ...]

    @property
    def seeds(self) -> int:
        """The most seeds of a fold."""
        return max((each.seeds for each in self.differences), default=0)

    @property
    def means(self) -> tuple[float, ...]:
        """The differences alone."""
        return tuple(each.delta for each in self.differences)

    def notes(self) -> list[EffectNote]:
        """Say which folds are missing, and which have fewer seeds than others."""
        total, present = self.folds * self.splits, len(self.differences)
        if not present:
            return []  # another note says why
        reasons = []
        if present < total:
            reasons.append(f"{total - present} of {total} folds have no pair")
        fewer = sum(each.seeds < self.seeds for each in self.differences)
        if fewer:
            reasons.append(f"{fewer} of {total} folds have fewer than {self.seeds} seeds")
        return [EffectNote(kind="incomplete", reason=", ".join(reasons))] if reasons else []


def fold_means(
    differences: Sequence[float], units: Sequence[Unit], folds: Folds
) -> FoldDifferences:
    """Average differences over the seeds within each fold; `units` are those of the differences."""
    # Differences out of the range of numbers are left out, and so cannot be told apart.
    places = by_fold(units) if len(units) == len(differences) else {}
    return FoldDifferences(
        folds=folds.count,
        splits=folds.splits,
        differences=tuple(
            FoldDifference(
                split=split,
                fold=fold,
                seeds=len(of_fold),
                delta=math.fsum(differences[i] / len(of_fold) for i in of_fold),
            )
            for (split, fold), of_fold in places.items()
        ),
    )


def values_by_fold(values: Sequence[float], units: Sequence[Unit]) -> list[float]:
    """Average values over the seeds within each fold; they stay as they are without folds."""
    places = by_fold(units)
    if not places or len(values) != len(units):
        return list(values)
    return [math.fsum(values[i] / len(of_fold) for i in of_fold) for of_fold in places.values()]
