"""Mean average precision of boxes as COCO has it, by torchmetrics with pycocotools.

Source: Lin et al. 2014, "Microsoft COCO", and the evaluation of its challenge: the mean of the
average precision over the intersections over union 0.5, 0.55, ..., 0.95.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.metrics.detection import DetectedImage

__all__ = ["COCO", "MISSING", "coco_metrics", "has_coco"]

MISSING = "map and map75 need torchmetrics and pycocotools: pip install 'trickbag[detection]'"
"""The reason why these metrics are undefined where the extra is not installed."""

_PACKAGES = ("torchmetrics", "pycocotools")
_NAMES = {"map": "map", "map75": "map_75"}

COCO = tuple(_NAMES)
"""The metrics of this module."""


def has_coco() -> bool:
    """Tell whether the packages of the extra `detection` are installed."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


def coco_metrics(images: Sequence[DetectedImage]) -> dict[str, float | None]:
    """Return `map` and `map75` in percent; None without objects, and without the extra.

    Of an image the 100 detections with the highest scores count. Difficult objects are what COCO
    calls crowds: detections that lie in them are ignored.
    """
    undefined: dict[str, float | None] = dict.fromkeys(_NAMES)
    if not has_coco() or not any((image.objects[:, 5] == 0).any() for image in images):
        return undefined
    # Imported here, because torchmetrics takes seconds.
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(iou_type="bbox", backend="pycocotools")
    metric.warn_on_many_detections = False
    ordered = sorted(images, key=lambda image: image.index)
    metric.update(
        [_prediction(image.detections) for image in ordered],
        [_target(image.objects) for image in ordered],
    )
    values = metric.compute()
    # -1 stands for a metric without objects.
    return {
        name: 100 * value if (value := float(values[key])) >= 0 else None
        for name, key in _NAMES.items()
    }


def _prediction(detections_B6: NDArray[np.float64]) -> dict[str, Any]:
    rows = detections_B6[np.isfinite(detections_B6).all(axis=1)]
    return {**_boxes(rows), "scores": _tensor(rows[:, 5])}


def _target(objects_A6: NDArray[np.float64]) -> dict[str, Any]:
    return {**_boxes(objects_A6), "iscrowd": _tensor(objects_A6[:, 5].astype(np.int64))}


def _boxes(rows: NDArray[np.float64]) -> dict[str, Any]:
    return {"boxes": _tensor(rows[:, 1:5]), "labels": _tensor(rows[:, 0].astype(np.int64))}


def _tensor(values: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))
