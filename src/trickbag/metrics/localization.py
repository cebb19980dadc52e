"""Boxes that follow from a heat map, and how often they agree with the boxes of objects.

A box is (left, top, right, bottom), in pixels: the edges of the area that it covers, so that
(0, 0, 1, 1) is the first pixel. Shapes: H and W pixels, A and B boxes, T thresholds, M maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "IOU",
    "IOUS_V2",
    "THRESHOLDS",
    "agreement",
    "box_accuracy",
    "box_iou",
    "component_boxes",
    "max_box_accuracy",
    "max_box_accuracy_v2",
    "normalised",
]

THRESHOLDS: tuple[float, ...] = tuple(i / 100 for i in range(100))
"""The shares of a map's range at which it is cut. Choe et al. 2020 take ten times as many."""

IOU = 0.5
"""The intersection over union from which on a box is right (ILSVRC; Choe et al. 2020)."""

IOUS_V2 = (0.3, 0.5, 0.7)
"""Those of MaxBoxAccV2 (Choe et al. 2020, arXiv 2007.04178)."""

# A pixel has eight neighbours, as for the contours of OpenCV, which Choe et al. use.
_NEIGHBOURS = np.ones((3, 3), bool)


def normalised(map_HW: ArrayLike) -> NDArray[np.float64]:
    """Scale a map to the range 0 to 1, float64; all 0 if it is flat or has a value not finite."""
    values = np.asarray(map_HW, np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite(values).all() or low == high:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low))


def component_boxes(map_HW: ArrayLike, threshold: float) -> NDArray[np.float64]:
    """Return the boxes (B, 4) around the connected parts of a map above a threshold.

    The one of most pixels comes first, of equally large ones the upper one. There is none where
    nothing of the map is above the threshold.
    """
    # Imported here: records of runs, which are read without scipy, need `box_iou`.
    from scipy import ndimage

    labels, count = ndimage.label(np.asarray(map_HW) > threshold, _NEIGHBOURS)
    if not count:
        return np.zeros((0, 4))
    areas = np.bincount(labels.ravel())[1:]
    slices = ndimage.find_objects(labels)
    order = np.argsort(-areas, kind="stable")
    edges = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in (slices[i] for i in order)
    ]
    return np.array(edges, np.float64)


def box_iou(boxes_A4: ArrayLike, boxes_B4: ArrayLike) -> NDArray[np.float64]:
    """Return the intersection over union (A, B) of each box with each; 0 for boxes of no area."""
    first = np.asarray(boxes_A4, np.float64).reshape(-1, 1, 4)
    second = np.asarray(boxes_B4, np.float64).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = sides.clip(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - shared
    ious = np.zeros_like(union)
    np.divide(shared, union, out=ious, where=union > 0)
    return np.asarray(ious)


def agreement(
    map_HW: ArrayLike, boxes_A4: ArrayLike, thresholds: tuple[float, ...] = THRESHOLDS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how well the boxes of a map agree with those of the objects, at each threshold.

    `map_HW` is `normalised`, `boxes_A4` are the objects. Two arrays (T,): the largest IoU with an
    object, of the largest component alone (MaxBoxAcc), and of any component (MaxBoxAccV2).
    """
    largest, best = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    values = np.asarray(map_HW)
    above = -1
    for t, threshold in enumerate(thresholds):
        pixels = int(np.count_nonzero(values > threshold))
        if pixels == above:
            # Thresholds rise, so equally many pixels are the same pixels.
            largest[t], best[t] = largest[t - 1], best[t - 1]
            continue
        above = pixels
        ious = box_iou(component_boxes(values, threshold), boxes_A4)
        if ious.size:
            largest[t], best[t] = ious[0].max(), ious.max()
    return largest, best


def box_accuracy(ious_MT: ArrayLike, iou: float = IOU) -> NDArray[np.float64]:
    """Return the share of maps, in percent, whose box is right, at each threshold (T,)."""
    right = np.asarray(ious_MT, np.float64) >= iou
    # So that 11 of 20 are 55 %, and not the next number above.
    return np.asarray(100 * right.sum(0) / len(right))


def max_box_accuracy(ious_MT: ArrayLike, iou: float = IOU) -> float | None:
    """Return MaxBoxAcc: the largest `box_accuracy` of all thresholds; None without maps.

    `ious_MT` are those of the largest components. Choe et al. 2020 (arXiv 2001.07437), section 3.2.
    """
    return float(box_accuracy(ious_MT, iou).max()) if np.size(ious_MT) else None


def max_box_accuracy_v2(ious_MT: ArrayLike) -> float | None:
    """Return MaxBoxAccV2: the mean of MaxBoxAcc over IOUS_V2; None without maps.

    `ious_MT` are those of any component; each IoU has the threshold that is best for it. Choe et
    al. 2020 (arXiv 2007.04178), section 4.
    """
    if not np.size(ious_MT):
        return None
    return float(np.mean([box_accuracy(ious_MT, iou).max() for iou in IOUS_V2]))
