"""Detection: the boxes of objects with their classes.

Shapes: N images of a batch, n images of a part, M objects of an image, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.functional.batch import Batch
from trickbag.metrics.coco import COCO, coco_metrics
from trickbag.metrics.detection import (
    DetectedImage,
    box_scores,
    mean_precision_interval,
    rank_detections,
    voc_metrics,
)
from trickbag.models.task_config import DetectionConfig
from trickbag.tasks.box_predictions import BoxPredictions, ImageBoxes, boxes_in_file
from trickbag.tasks.task import (
    Forward,
    Gather,
    Pace,
    Predictions,
    Stored,
    Task,
    TaskValidation,
    TrainedNetwork,
    places_in_part,
)

if TYPE_CHECKING:
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.data.source import Part
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.detection import BoxScore
    from trickbag.metrics.metric import TaskKind
    from trickbag.models.detection.detector import Detections, Detector
    from trickbag.tricks.trick import Loss

__all__ = ["DetectionTask", "DetectionValidation", "NoLoss"]


@dataclass(frozen=True)
class NoLoss:
    """The loss of a task whose network computes its own."""

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Raise TypeError: there are no logits of whole images."""
        raise TypeError("the network of this task computes its losses itself")


@dataclass(frozen=True, kw_only=True)
class DetectionTask(Task):
    """What the trainer does for detection: the losses of Faster R-CNN, and its boxes."""

    kind: ClassVar[TaskKind] = "detection"
    draws: ClassVar[bool] = True

    config: DetectionConfig
    num_classes: int

    @property
    def score(self) -> str:
        """The metric by which the best epoch is chosen: the mean average precision at 0.5."""
        return "map50"

    def needs_logits(self, score: str) -> bool:
        """Tell whether a metric is one of COCO's, which take seconds."""
        return score in COCO

    def loss(self) -> Loss:
        """Return what raises TypeError: the detector computes its losses itself."""
        return NoLoss()

    def begin(self, network: nn.Module, seed: int) -> None:
        """Set which anchors and proposals the next forward pass samples."""
        cast("Detector", network).begin(seed)

    def batch(self, raw: RawBatch) -> Batch:
        """Return images from 0 to 255 with their objects (N, M, 6)."""
        return Batch(
            raw.images.float(),
            raw.labels,
            raw.index,
            extras={},
            row_weights=raw.valid.float(),
            extents=raw.extents,
        )

    def forward(self, trained: TrainedNetwork, batch: Batch) -> Forward:
        """Return the sum of the losses, how much each image counts (N,), and the objects."""
        assert batch.row_weights is not None
        assert batch.extents is not None
        detector = cast("Detector", trained.network)
        # An image that could not be read would be learned from as one without objects.
        read_N = batch.row_weights > 0
        if not read_N.any():
            sums = [p.sum() for p in detector.parameters() if p.requires_grad]
            return 0.0 * torch.stack(sums).sum(), batch.row_weights, batch.targets
        targets = batch.targets[read_N]
        with trained.autocast():
            losses = detector.losses(
                batch.images[read_N],
                batch.extents[read_N],
                [objects_M6[:, 1:5] for objects_M6 in targets],
                # A difficult object is no example, as for Ren et al. 2015.
                [
                    torch.where(objects_M6[:, 5] > 0, -1.0, objects_M6[:, 0])
                    for objects_M6 in targets
                ],
            )
        # The mean over the images that could be read becomes one over all, like other losses.
        loss = torch.stack([loss.float() for loss in losses.values()]).sum() * read_N.float().mean()
        return loss, batch.row_weights, batch.targets

    def count(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return 0, as no image is right as a whole, and how many images count."""
        return outputs.new_zeros(()), outputs.sum()

    def outputs(self, network: nn.Module, images_NCHW: Tensor, raw: RawBatch) -> list[Detections]:
        """Return the objects of each image, in pixels of the canvas."""
        return cast("Detector", network).detect(images_NCHW, raw.extents)

    def not_finite(self, outputs: list[Detections], raw: RawBatch) -> int:
        """Count the images whose maps are not finite: no boxes come of these."""
        return sum(not each.finite for each in outputs)

    def predictions(
        self, device: torch.device, *, keep_logits: bool = False
    ) -> DetectionPredictions:
        """Return what collects the boxes of an evaluation; with `keep_logits` also for COCO's mAP.

        That takes seconds, and is computed at the end of a run alone.
        """
        return DetectionPredictions(self.num_classes, with_coco=keep_logits)


@dataclass(frozen=True)
class DetectionValidation(TaskValidation):
    """The metrics of a part, and its objects with what was detected, in pixels of the canvas.

    `extents` (n, 4) are height and width of each image within the canvas, and of its file.
    """

    images: Sequence[DetectedImage]
    extents: np.ndarray
    num_classes: int

    def stored(self, part: Part, classes: Sequence[str]) -> Stored:
        """Return `predictions.json`: the boxes of each image, in pixels of its file."""
        rows = zip(self.images, self.extents.tolist(), strict=True)
        return Stored(
            "predictions.json",
            BoxPredictions(
                classes=tuple(classes),
                images=tuple(
                    ImageBoxes.of(
                        part.names[image.index],
                        (extent[2], extent[3]),
                        _in_file(image.detections, extent),
                        classes,
                    )
                    for image, extent in rows
                ),
            )
            .to_text()
            .encode(),
        )

    def per_class(self) -> Sequence[BoxScore]:
        """Return the scores of every class, in order."""
        return box_scores(rank_detections(self.images, self.num_classes))

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % interval of `map50` over images, where it is defined."""
        interval = mean_precision_interval(rank_detections(self.images, self.num_classes))
        return {} if interval is None else {"map50": interval}


class DetectionPredictions(Predictions):
    """The objects of the images of a part, beside those that were detected."""

    def __init__(self, num_classes: int, *, with_coco: bool) -> None:
        self._num_classes, self._with_coco = num_classes, with_coco
        self._images: list[DetectedImage] = []
        self._extents: list[list[int]] = []

    def add(self, raw: RawBatch, outputs: list[Detections], labels: Tensor) -> None:
        """Add a batch; images that could not be read count nothing."""
        for i in raw.valid.nonzero()[:, 0].tolist():
            objects_M6 = raw.labels[i].double().numpy()
            detected = outputs[i]
            columns = (detected.labels[:, None], detected.boxes, detected.scores[:, None])
            detections_M6 = torch.cat([column.double().cpu() for column in columns], dim=1)
            self._images.append(
                DetectedImage(
                    int(raw.index[i]), objects_M6[objects_M6[:, 0] >= 0], detections_M6.numpy()
                )
            )
            self._extents.append(raw.extents[i].tolist())

    def validation(
        self, pace: Pace, thresholds: tuple[float, ...] | None, gather: Gather | None = None
    ) -> DetectionValidation:
        """Return the metrics of this process, or with `gather` of all processes."""
        images, extents = self._images, self._extents
        count, seconds = pace.images, pace.seconds
        if gather is not None:
            plain = [[i.index, i.objects.tolist(), i.detections.tolist()] for i in images]
            parts = gather([plain, extents, *pace])
            tables, all_extents, lengths, counts, all_seconds = zip(*parts, strict=True)
            places = places_in_part([[row[0] for row in table] for table in tables], lengths)
            rows = [row for table in tables for row in table]
            images = [
                DetectedImage(place, _table(objects), _table(detections))
                for place, (_, objects, detections) in zip(places, rows, strict=True)
            ]
            extents = [extent for each in all_extents for extent in each]
            count, seconds = sum(counts), max(all_seconds)
        return DetectionValidation(
            metrics=voc_metrics(rank_detections(images, self._num_classes)),
            throughput=Pace.throughput(count, seconds),
            index=np.array([image.index for image in images], np.int64),
            scores=coco_metrics(images) if self._with_coco else {},
            images=images,
            extents=np.array(extents, np.int64).reshape(-1, 4),
            num_classes=self._num_classes,
        )


def _in_file(detections_M6: np.ndarray, extent: Sequence[int]) -> np.ndarray:
    """Return detections in pixels of the file; those with values that are not finite are none."""
    rows: np.ndarray = detections_M6[np.isfinite(detections_M6).all(axis=1)].copy()
    rows[:, 1:5] = boxes_in_file(rows[:, 1:5], extent)
    return rows


def _table(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 6)
