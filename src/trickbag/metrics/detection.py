"""Mean average precision of boxes, as Pascal VOC has it.

A detection is right if its box overlaps enough with that of an object of its class. Shapes: N
images, K classes, A objects and B detections of an image, D detections of a class in all images, R
sets of weights of the images. Boxes are (left, top, right, bottom), continuous, in any unit.

Sources: the VOC development kit (Everingham et al. 2010, "The Pascal Visual Object Classes
Challenge", section 4.2, and the kit's VOCevaldet).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trickbag.metrics.bootstrap import Interval, Statistic, bootstrap_intervals
from trickbag.metrics.localization import box_iou
from trickbag.metrics.per_class import ClassScore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "IOU",
    "SURE",
    "BoxScore",
    "DetectedImage",
    "RankedDetections",
    "average_precision",
    "average_precision_voc07",
    "box_scores",
    "mean_precision_interval",
    "rank_detections",
    "right_detections",
    "voc_metrics",
]

IOU = 0.5
"""The intersection over union from which on a detection is right."""

SURE = 0.5
"""The score from which on detections count for precision and recall of a class."""

_POINTS = 10
"""The recalls of VOC 2007 are 0, 1 / 10, ..., 1."""

_MOST_CELLS = 2**22
"""Weights that are summed up at a time."""

_MOST_RANKED = 10**6
"""The most detections for which intervals are computed: that takes some ten seconds."""


class DetectedImage(NamedTuple):
    """An image with its objects and detections, in the same pixels.

    objects: (A, 6) float64: class, box, and 1 for a difficult one, which counts neither as found
    nor as missed. detections: (B, 6) float64: class, box, score; those with values that are not
    finite are ignored. `index` is the image's place in its part.
    """

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not needed
    objects: NDArray[np.float64]
    detections: NDArray[np.float64]


class RankedDetections(NamedTuple):
    """The detections of one class in all images, the highest score first.

    images: (D,) the place of their image. right: (D,) bool. scores: (D,). objects: (N,) the objects
    of the class in each image that are not difficult. Detections of difficult objects are left out.
    """

    images: NDArray[np.int64]
    right: NDArray[np.bool_]
    scores: NDArray[np.float64]
    objects: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BoxScore(ClassScore):
    """The scores of one class, in percent.

    support: its objects, without difficult ones. recall, precision, f1: of the detections with a
    score of SURE at least. average_precision: at an IoU of 0.5, by the area under the interpolated
    curve; average_precision_voc07: by eleven points. Both are None for a class without objects.
    """

    average_precision: float | None
    average_precision_voc07: float | None

    @property
    def recall_interval(self) -> Interval | None:
        """None: the objects of an image do not vary independently."""
        return None


def right_detections(
    detections_B6: NDArray[np.float64], objects_A6: NDArray[np.float64], iou: float = IOU
) -> NDArray[np.int8]:
    """Judge the detections of one class in one image (B,): 1 right, 0 wrong, -1 ignored.

    In the order of their scores, each is compared with the object that it overlaps with most, the
    first of equal ones. It is right if that is enough and no detection had the object before it; it
    is ignored if the object is difficult.
    """
    judged = np.zeros(len(detections_B6), np.int8)
    if not len(objects_A6):
        return judged
    ious_BA = box_iou(detections_B6[:, 1:5], objects_A6[:, 1:5])
    taken = np.zeros(len(objects_A6), bool)
    for i in np.argsort(-detections_B6[:, 5], kind="stable"):
        nearest = int(ious_BA[i].argmax())
        if ious_BA[i, nearest] < iou:
            continue
        if objects_A6[nearest, 5]:
            judged[i] = -1
        elif not taken[nearest]:
            judged[i] = 1
            taken[nearest] = True
    return judged


def rank_detections(
    images: Sequence[DetectedImage], num_classes: int, iou: float = IOU
) -> list[RankedDetections]:
    """Judge the detections of all images, class by class.

    Of equal scores that of the image with the lower index comes first, so that the order in which
    processes bring their images does not matter.
    """
    images = sorted(images, key=lambda image: image.index)
    objects_KN = np.zeros((num_classes, len(images)), np.int64)
    columns: list[list[NDArray[Any]]] = [[] for _ in range(num_classes)]
    for place, image in enumerate(images):
        easy = image.objects[image.objects[:, 5] == 0]
        np.add.at(objects_KN[:, place], easy[:, 0].astype(np.int64), 1)
        finite = image.detections[np.isfinite(image.detections).all(axis=1)]
        for label in np.unique(finite[:, 0]).astype(np.int64):
            rows = finite[finite[:, 0] == label]
            judged = right_detections(rows, image.objects[image.objects[:, 0] == label], iou)
            counts = judged >= 0
            columns[label].append(
                np.column_stack((rows[counts, 5], judged[counts], np.full(counts.sum(), place)))
            )
    return [
        _ranked(np.concatenate([np.zeros((0, 3)), *rows]), objects_N)
        for rows, objects_N in zip(columns, objects_KN, strict=True)
    ]


def _ranked(rows_D3: NDArray[np.float64], objects_N: NDArray[np.int64]) -> RankedDetections:
    rows = rows_D3[np.argsort(-rows_D3[:, 0], kind="stable")]
    return RankedDetections(rows[:, 2].astype(np.int64), rows[:, 1] == 1, rows[:, 0], objects_N)


def average_precision(
    ranked: RankedDetections, weights_RN: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the area under the interpolated curve of precision and recall, (R,), from 0 to 1.

    The precision at a recall is the highest at that recall or above. NaN where there is no object.
    `weights_RN` say how often each image is there, by default once. As VOC has it since 2010.
    """
    weights_RN = _once(ranked) if weights_RN is None else weights_RN
    total_R = weights_RN @ ranked.objects
    areas_R = np.zeros(len(weights_RN))
    ranked = _up_to_last_right(ranked)
    for rows in _blocks(len(weights_RN), len(ranked.images)):
        right_RD, precision_RD = _precisions(ranked, weights_RN[rows])
        areas_R[rows] = (right_RD * precision_RD).sum(axis=1)
    return _share(areas_R, total_R)


def average_precision_voc07(ranked: RankedDetections) -> float:
    """Return the mean of the interpolated precision at eleven recalls, from 0 to 1, as VOC 2007.

    NaN where there is no object. Recalls are compared as whole numbers: 3 of 10 objects reach 0.3.
    """
    total = int(ranked.objects.sum())
    if not total:
        return float("nan")
    ranked = _up_to_last_right(ranked)
    _, (precision_D,) = _precisions(ranked, _once(ranked))
    found_D = np.cumsum(ranked.right)
    # The first detection at which k tenths of the objects are found.
    first = np.searchsorted(found_D * _POINTS, np.arange(_POINTS + 1) * total)
    reached = first[first < len(found_D)]
    return float(precision_D[reached].sum() / (_POINTS + 1))


def _once(ranked: RankedDetections) -> NDArray[np.float64]:
    return np.ones((1, len(ranked.objects)))


def _up_to_last_right(ranked: RankedDetections) -> RankedDetections:
    """Leave out what comes behind the last right detection: it changes no average precision."""
    end = int(np.flatnonzero(ranked.right)[-1]) + 1 if ranked.right.any() else 0
    return ranked._replace(
        images=ranked.images[:end], right=ranked.right[:end], scores=ranked.scores[:end]
    )


def _blocks(rows: int, columns: int) -> list[slice]:
    each = max(1, _MOST_CELLS // max(1, columns))
    return [slice(start, start + each) for start in range(0, rows, each)]


def _precisions(
    ranked: RankedDetections, weights_RN: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the right detections at each rank, and the highest precision there or behind it."""
    weights_RD = weights_RN[:, ranked.images]
    right_RD = weights_RD * ranked.right
    all_RD = weights_RD.cumsum(axis=1)
    # Before the first image that is there at all, nothing is detected.
    precision_RD = right_RD.cumsum(axis=1) / np.maximum(all_RD, 1e-300)
    highest_RD = np.maximum.accumulate(precision_RD[:, ::-1], axis=1)[:, ::-1]
    return right_RD, highest_RD


def _share(part_R: NDArray[np.float64], total_R: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.full(len(part_R), np.nan)
    np.divide(part_R, total_R, out=shares, where=total_R > 0)
    return shares


def voc_metrics(ranked: Sequence[RankedDetections]) -> dict[str, float | None]:
    """Return `map50` and `map50_voc07`, in percent: means over the classes that have objects.

    None where no class has one.
    """
    areas = [float(average_precision(each)[0]) for each in ranked]
    points = [average_precision_voc07(each) for each in ranked]
    return {"map50": _mean_percent(areas), "map50_voc07": _mean_percent(points)}


def _mean_percent(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not np.isnan(value)]
    return 100 * float(np.mean(defined)) if defined else None


def mean_precision_interval(ranked: Sequence[RankedDetections]) -> Interval | None:
    """Return the 95 % interval of `map50` over images, in percent, by the bootstrap.

    None where it is not defined (see `bootstrap_intervals`), and for more than a million
    detections.
    """
    with_objects = [each for each in ranked if each.objects.any()]
    shortened = [_up_to_last_right(each) for each in with_objects]
    if not shortened or sum(len(each.images) for each in shortened) > _MOST_RANKED:
        return None
    statistic = Statistic(values=partial(_mean_precisions, ranked=shortened))
    interval = bootstrap_intervals({"map50": statistic}, len(shortened[0].objects))["map50"]
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def _mean_precisions(
    weights_RN: NDArray[np.float64], ranked: Sequence[RankedDetections]
) -> NDArray[np.float64]:
    areas_KR = np.array([average_precision(each, weights_RN) for each in ranked])
    defined_KR = ~np.isnan(areas_KR)
    return _share(np.nansum(areas_KR, axis=0), defined_KR.sum(axis=0).astype(np.float64))


def box_scores(ranked: Sequence[RankedDetections], sure: float = SURE) -> list[BoxScore]:
    """Return the scores of every class; `sure` is the score from which on detections count."""
    scores = []
    for each in ranked:
        support = int(each.objects.sum())
        counted = each.scores >= sure
        counts = ClassScore.of(int(each.right[counted].sum()), int(counted.sum()), support)
        area, points = float(average_precision(each)[0]), average_precision_voc07(each)
        scores.append(
            BoxScore(
                **vars(counts),
                average_precision=None if np.isnan(area) else 100 * area,
                average_precision_voc07=None if np.isnan(points) else 100 * points,
            )
        )
    return scores
