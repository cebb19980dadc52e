"""Labels of images, one per image or several: counts by class, strata, text.

Labels are integers. With one label per image they are an array (N,) of class indices, -1 where the
label is unknown. With several labels per image (`data.multi_label`) they are an array (N, K), 1
where an image has the label of a class and 0 where it has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "label_counts",
    "label_text",
    "multi_hot",
    "relabelled",
    "separator_of_labels",
    "strata",
]


def multi_hot(classes_of_images: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.int64]:
    """Return labels (N, K) of 0 and 1 for the class indices of each image."""
    labels_NK = np.zeros((len(classes_of_images), num_classes), np.int64)
    for i, indices in enumerate(classes_of_images):
        labels_NK[i, list(indices)] = 1
    return labels_NK


def label_counts(labels: NDArray[np.int64], num_classes: int) -> tuple[int, ...]:
    """Count the images that have the label of each class."""
    if labels.ndim == 2:
        counts = labels.sum(axis=0)
    else:
        # bincount refuses the -1 of an unknown label.
        counts = np.bincount(labels[labels >= 0], minlength=num_classes)
    return tuple(counts.tolist())


def relabelled(
    labels: NDArray[np.int64], places_K: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Return labels in which class k has become `places_K[k]`, of `num_classes`.

    Unknown labels (-1) stay. With labels (N, K) a class without a place, -1, must have no image.
    """
    if labels.ndim == 1:
        return np.where(labels < 0, labels, places_K[labels])
    new_labels = np.zeros((len(labels), num_classes), np.int64)
    for k, place in enumerate(places_K.tolist()):
        if place >= 0:
            # An image can have more than one spelling of its class.
            new_labels[:, place] |= labels[:, k]
    return new_labels


def strata(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stratum (N,) of each image for a stratified split.

    It is the image's label; if it has several, the one that the fewest images have, and of equally
    rare ones the first. Because the rarest label decides, no part is left without a class of few
    images because these were counted for another class.
    """
    if labels.ndim == 1:
        return labels
    # Labels that an image does not have must not be chosen: they count as more frequent than any.
    rarity = np.where(labels > 0, labels.sum(axis=0), len(labels) + 1)
    stratum: NDArray[np.int64] = rarity.argmin(axis=1)
    return stratum


def separator_of_labels(classes: Sequence[str], given: str | None = None) -> str:
    """Return what stands between several labels of an image when they are written.

    It is the separator that the data have, if they have one; else a blank, or `|` if names of
    classes have blanks.
    """
    return given or ("|" if any(" " in name for name in classes) else " ")


def label_text(
    labels: NDArray[np.int64] | np.int64, classes: Sequence[str], separator: str = " "
) -> str:
    """Write the label of one image by the name of its class, several with a separator."""
    if np.ndim(labels) == 0:
        return classes[int(labels)]
    return separator.join(classes[i] for i in np.flatnonzero(labels).tolist())
