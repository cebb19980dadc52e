"""What the predictions for the validation set come to: confusions, scores, calibration, mistakes.

Shapes: N images, K classes, B bins of confidence.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.per_class import ClassScore

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
    """The confusion matrix: `counts[label, predicted]`, (K, K), with classes ordered by name."""

    classes: tuple[str, ...]
    counts: np.ndarray[Any, np.dtype[np.int64]]

    def scores(self) -> list[ClassRecall]:
        """Score every class, the one with the lowest recall first, then by name."""
        labelled_K, predicted_K = self.counts.sum(1), self.counts.sum(0)
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
    classes = tuple(sorted(names))
    places = {name: number for number, name in enumerate(classes)}
    counts_KK = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for row in predictions:
        counts_KK[places[row.label], places[row.predicted]] += 1
    return Confusion(classes=classes, counts=counts_KK)


def most_confused(predictions: Sequence[PredictionRow], n: int) -> list[tuple[str, str, int, int]]:
    """Return up to `n` confusions, the most frequent first.

    Each is (label, predicted, number of such images, number of images of the label).
    """
    support = Counter(row.label for row in predictions)
    pairs = Counter((row.label, row.predicted) for row in predictions if not row.right)
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(label, predicted, count, support[label]) for (label, predicted), count in ranked[:n]]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Accuracy against confidence in B bins of equal width.

    `counts`, `accuracy` and `confidence` are (B,); the last two lie in [0, 1], and are NaN in a bin
    without images. `ece` is the expected calibration error in percent.
    """

    counts: np.ndarray[Any, np.dtype[np.int64]]
    accuracy: np.ndarray[Any, np.dtype[np.float64]]
    confidence: np.ndarray[Any, np.dtype[np.float64]]
    ece: float


def reliability(predictions: Sequence[PredictionRow], bins: int = 15) -> Reliability | None:
    """Compare confidence with accuracy (Guo et al. 2017, section 2).

    None if no prediction has a confidence. Bins are open below and closed above, as in
    `trickbag.metrics.classification.Classification`.
    """
    rows = [(row.confidence, row.right) for row in predictions if row.confidence is not None]
    if not rows:
        return None
    confidence_N = np.array([confidence for confidence, _ in rows], dtype=np.float64)
    right_N = np.array([right for _, right in rows], dtype=np.float64)
    # A confidence of 0 would fall into bin -1, one rounded to above 1 behind the last bin.
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(np.int64) - 1, 0, bins - 1)
    counts_B = np.bincount(bin_N, minlength=bins)
    right_B = np.bincount(bin_N, weights=right_N, minlength=bins)
    sum_B = np.bincount(bin_N, weights=confidence_N, minlength=bins)
    filled_B = np.where(counts_B > 0, counts_B, np.nan)
    return Reliability(
        counts=counts_B,
        accuracy=right_B / filled_B,
        confidence=sum_B / filled_B,
        ece=float(100 * np.abs(right_B - sum_B).sum() / len(rows)),
    )
