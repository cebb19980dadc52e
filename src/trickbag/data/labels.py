"""Labels of images, one or several each: how many each class has, and how they are divided.

Labels are an array (n,) of places in the classes, -1 where unknown, or for images with several
labels each one of shape (n, K), 1 where an image has the label and 0 where not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["label_counts", "label_text", "several", "strata"]


def several(rows: Sequence[Sequence[int]], classes: int) -> NDArray[np.int64]:
    """Return the labels (n, K) of images whose places in the classes are given."""
    labels = np.zeros((len(rows), classes), np.int64)
    for i, places in enumerate(rows):
        labels[i, list(places)] = 1
    return labels


def label_counts(labels: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    """Return how many images have the label of each class."""
    counts = (
        labels.sum(axis=0)
        if labels.ndim == 2
        else np.bincount(labels[labels >= 0], minlength=classes)
    )
    return tuple(counts.tolist())


def strata(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stratum of each image when images are divided: its label, of several the rarest.

    Of labels that are equally rare it is the first. By the rarest no class of a few images is left
    out of a part because its images were counted to another class.
    """
    if labels.ndim == 1:
        return labels
    rarity = np.where(labels > 0, labels.sum(axis=0), len(labels) + 1)
    chosen: NDArray[np.int64] = rarity.argmin(axis=1)
    return chosen


def label_text(labels: NDArray[np.int64] | np.int64, classes: Sequence[str]) -> str:
    """Write the labels of one image: the name of its class, or of its classes, separated by
    blanks."""
    if np.ndim(labels) == 0:
        return classes[int(labels)]
    return " ".join(classes[i] for i in np.flatnonzero(labels).tolist())
