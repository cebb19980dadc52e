"""How well each class is predicted, and what averages over the classes come of it.

Shapes: K classes. Everything is numpy, from counts that are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.proportion import exact_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.metrics.bootstrap import Interval

__all__ = ["ClassCounts", "ClassScore"]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """The scores of one class, in percent.

    support: the images that show the class. recall: the share of these that were predicted as it;
    None without such images. precision: the share that is right of the images predicted as the
    class; None if there are none. f1: their harmonic mean, 0 if only one of the two is defined,
    None if neither is.
    """

    support: int
    recall: float | None
    precision: float | None
    f1: float | None

    @classmethod
    def of(cls, right: int, predicted: int, support: int) -> ClassScore:
        """Return the scores of numbers of images: predicted rightly, predicted, with the class."""
        return cls(
            support=int(support),
            recall=_percent(right, support),
            precision=_percent(right, predicted),
            # Equal to 2 P R / (P + R), but defined where only one of the two is.
            f1=_percent(2 * right, support + predicted),
        )

    @property
    def recall_interval(self) -> Interval | None:
        """The exact 95 % interval, over images, of the recall, in percent; None without recall."""
        if self.recall is None:
            return None
        return exact_interval(round(self.recall * self.support / 100), self.support)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain data, with the interval of the recall."""
        interval = self.recall_interval
        return {**vars(self), "recall_interval": None if interval is None else list(interval)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCounts:
    """Numbers of images of each class, (K,) integers.

    right: those that were predicted as their class. predicted: those predicted as the class.
    support: those that show it.
    """

    right: NDArray[np.int64]
    predicted: NDArray[np.int64]
    support: NDArray[np.int64]

    def scores(self) -> tuple[ClassScore, ...]:
        """Return the scores of every class, in order."""
        return tuple(
            ClassScore.of(right, predicted, support)
            for right, predicted, support in zip(
                self.right.tolist(), self.predicted.tolist(), self.support.tolist(), strict=True
            )
        )

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean recall, in percent, of the classes that an image shows; None without images."""
        return _mean_ratio(self.right, self.support)

    @property
    def macro_f1(self) -> float | None:
        """The mean F1, in percent, of the classes that an image shows or is predicted as.

        None without images. A class that has neither is left out, not counted as 0: it is
        scikit-learn's mean over the labels that occur in the data or in the predictions.
        """
        return _mean_ratio(2 * self.right, self.support + self.predicted)


def _percent(part: float, total: float) -> float | None:
    return 100 * part / total if total else None


def _mean_ratio(part_K: NDArray[Any], total_K: NDArray[Any]) -> float | None:
    """Return the mean of part / total, in percent, over the classes whose total is above 0."""
    defined_K = total_K > 0
    if not defined_K.any():
        return None
    return float(100 * np.mean(part_K[defined_K] / total_K[defined_K]))
