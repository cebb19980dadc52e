"""What the predictions for the validation set come to: confusions, scores, calibration, mistakes.

Shapes: N images, K classes.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.calibration_errors import BINS
from trickbag.metrics.per_class import ClassScore
from trickbag.metrics.reliability import Reliability
from trickbag.metrics.reliability import reliability as reliability_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.train.folder.predictions import PredictionRow

__all__ = [
    "ClassRecall",
    "Confusion",
    "Reliability",
    "confusion",
    "lowest_recall_first",
    "most_confident_mistakes",
    "most_confused",
    "reliability",
]


def most_confident_mistakes(predictions: Sequence[PredictionRow], n: int) -> list[PredictionRow]:
    """Return up to `n` wrong predictions, the most confident first, then by the image's name."""
    wrong = [row for row in predictions if not row.right and row.confidence is not None]
    return sorted(wrong, key=lambda row: (-(row.confidence or 0.0), row.image))[:n]


@dataclass(frozen=True, kw_only=True)
class ClassRecall(ClassScore):
    """The scores of one class, with its name."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The confusion matrix: `counts[label, predicted]`, (K, K), with classes ordered by name.

    `support` (K,) counts the images of each label, those that are predicted as no class included.
    """

    classes: tuple[str, ...]
    counts: np.ndarray[Any, np.dtype[np.int64]]
    support: np.ndarray[Any, np.dtype[np.int64]]

    def scores(self) -> list[ClassRecall]:
        """Score every class, the one with the lowest recall first, then by name."""
        labelled_K, predicted_K = self.support, self.counts.sum(0)
        counts_K = zip(np.diag(self.counts), predicted_K, labelled_K, strict=True)
        scores = [
            ClassRecall(name=name, **vars(ClassScore.of(*map(int, counts))))
            for name, counts in zip(self.classes, counts_K, strict=True)
        ]
        return sorted(scores, key=lambda score: (lowest_recall_first(score), score.name))


def lowest_recall_first(score: ClassScore) -> float:
    """Return the key by which classes are sorted; those without a recall come last."""
    return math.inf if score.recall is None else score.recall


def confusion(predictions: Sequence[PredictionRow]) -> Confusion:
    """Count labels against predicted classes; a class has a row and a column if either names it."""
    names = {name for row in predictions for name in (row.label, row.predicted)}
    classes = tuple(sorted(name for name in names if name is not None))
    places = {name: number for number, name in enumerate(classes)}
    counts_KK = np.zeros((len(classes), len(classes)), dtype=np.int64)
    support_K = np.zeros(len(classes), dtype=np.int64)
    for row in predictions:
        support_K[places[row.label]] += 1
        if row.predicted is not None:
            counts_KK[places[row.label], places[row.predicted]] += 1
    return Confusion(classes=classes, counts=counts_KK, support=support_K)


def most_confused(predictions: Sequence[PredictionRow], n: int) -> list[tuple[str, str, int, int]]:
    """Return up to `n` confusions, the most frequent first.

    Each is (label, predicted, number of such images, number of images of the label).
    """
    support = Counter(row.label for row in predictions)
    pairs = Counter(
        (row.label, row.predicted)
        for row in predictions
        if row.predicted is not None and not row.right
    )
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(label, predicted, count, support[label]) for (label, predicted), count in ranked[:n]]


def reliability(predictions: Sequence[PredictionRow], bins: int = BINS) -> Reliability | None:
    """Compare confidence with accuracy; None if no prediction has a confidence."""
    rows = [(row.confidence, row.right) for row in predictions if row.confidence is not None]
    confidence_N = np.array([confidence for confidence, _ in rows], dtype=np.float64)
    return reliability_of(confidence_N, np.array([right for _, right in rows], dtype=bool), bins)
