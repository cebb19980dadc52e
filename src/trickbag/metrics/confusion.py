"""Which classes are taken for which others.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LARGEST_MATRIX", "Confused", "Confusions", "count_confusions"]

LARGEST_MATRIX = 100
"""The largest number of classes whose matrix of confusions is given."""

_MOST_PAIRS = 30


class Confused(NamedTuple):
    """A class that `images` of the `support` images of the class `label` are taken for."""

    label: str
    predicted: str
    images: int
    support: int


@dataclass(frozen=True, kw_only=True)
class Confusions:
    """The confusions of images of one label each.

    `largest` are up to 30 of them, the most frequent first. `matrix[label][predicted]` counts the
    images, with the classes in their order; None for more than 100 classes. An image with logits
    that are not finite is taken for no class, and is in none of both.
    """

    largest: tuple[Confused, ...]
    matrix: tuple[tuple[int, ...], ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the confusions as plain data."""
        return {
            "largest": [pair._asdict() for pair in self.largest],
            "matrix": None if self.matrix is None else [list(row) for row in self.matrix],
        }


def count_confusions(
    labels_N: NDArray[np.int64], predicted_N: NDArray[np.int64], classes: Sequence[str]
) -> Confusions:
    """Count the confusions of labels and predicted classes; a predicted class of -1 is none."""
    classes_number = len(classes)
    called_N = predicted_N >= 0
    labels, predicted = labels_N[called_N], predicted_N[called_N]
    # Not a matrix, which would have 400 million places for 20,000 classes.
    pairs, counts = np.unique(labels * classes_number + predicted, return_counts=True)
    support_K = np.bincount(labels_N, minlength=classes_number)
    off = pairs // classes_number != pairs % classes_number
    # By their number, then by the order of the classes.
    order = np.lexsort((pairs[off], -counts[off]))[:_MOST_PAIRS]
    largest = tuple(
        Confused(
            classes[pair // classes_number],
            classes[pair % classes_number],
            int(count),
            int(support_K[pair // classes_number]),
        )
        for pair, count in zip(pairs[off][order].tolist(), counts[off][order], strict=True)
    )
    matrix = None
    if classes_number <= LARGEST_MATRIX:
        counts_KK = np.zeros((classes_number, classes_number), np.int64)
        np.add.at(counts_KK, (labels, predicted), 1)
        matrix = tuple(tuple(row) for row in counts_KK.tolist())
    return Confusions(largest=largest, matrix=matrix)
