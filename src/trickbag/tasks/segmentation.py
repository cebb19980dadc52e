"""Segmentation: the class of each pixel.

Shapes: N images of a batch, n images of a part, K classes, H and W pixels of the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor, nn

from trickbag.functional.batch import Batch
from trickbag.functional.pixels import predicted_classes
from trickbag.metrics.segmentation import IGNORED, PixelCounter, PixelCounts
from trickbag.models.task_config import SegmentationConfig
from trickbag.optim.pixel_losses import PixelCrossEntropy
from trickbag.tasks.pixel_scores import PIXEL_SCORES, pixel_score_rows, pixel_scores_csv
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
    import torch

    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.data.source import Part
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.metric import TaskKind
    from trickbag.metrics.segmentation import PixelScore
    from trickbag.tricks.trick import Loss

__all__ = ["SegmentationTask", "SegmentationValidation"]


@dataclass(frozen=True, kw_only=True)
class SegmentationTask(Task):
    """What the trainer does for segmentation.

    In training each pixel that has a class counts alike, those of the auxiliary head by
    `config.auxiliary_weight` (He et al. 2018, section 6.2). In evaluation the logits of an image
    are scaled to its mask, and counted there.
    """

    kind: ClassVar[TaskKind] = "segmentation"

    config: SegmentationConfig
    num_classes: int

    @property
    def score(self) -> str:
        """The metric by which the best epoch is chosen: the mean IoU of the classes."""
        return "miou"

    @property
    def counts_right(self) -> bool:
        """Whether the share of right pixels is shown in training: it is no top-1."""
        return False

    def loss(self) -> Loss:
        """Return the cross-entropy of pixels, which takes logits (N, K, H, W)."""
        return PixelCrossEntropy()

    def weight(self, raw: RawBatch) -> int:
        """Return the number of pixels that have a class."""
        return int((raw.labels != IGNORED).sum())

    def unit(self, raw: RawBatch) -> int:
        """Return the number of pixels of the canvas."""
        return int(raw.labels[0].numel()) if len(raw.labels) else 1

    def batch(self, raw: RawBatch) -> Batch:
        """Return images from 0 to 255 with their masks (N, H, W); an unread one has no class."""
        return Batch(
            raw.images.float(),
            raw.labels,
            raw.index,
            extras={},
            row_weights=raw.valid.float(),
            extents=raw.extents,
        )

    def forward(self, trained: TrainedNetwork, batch: Batch) -> Forward:
        """Return the loss, the share (N,) of pixels that count and are right, and the masks."""
        with trained.autocast():
            logits_NKHW, auxiliary = trained.outputs(batch.images)
        loss = trained.loss(logits_NKHW.float(), batch)
        if auxiliary is not None:
            loss = loss + self.config.auxiliary_weight * trained.loss(auxiliary.float(), batch)
        right_NHW = logits_NKHW.detach().argmax(dim=1) == batch.targets
        return loss, right_NHW.float().mean(dim=(1, 2)), batch.targets

    def count(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over images of the share of right pixels, and of those that count."""
        return outputs.sum(), (targets != IGNORED).float().mean(dim=(1, 2)).sum()

    def outputs(self, network: nn.Module, images_NCHW: Tensor, raw: RawBatch) -> list[Tensor]:
        """Return the predicted classes of each image, uint8, at the size of its file.

        A pixel with a logit that is not finite has the class K, which is none.
        """
        logits_NKHW, _ = network(images_NCHW)
        return [
            predicted_classes(logits_KHW[:, :height, :width].float(), (rows, columns))
            for logits_KHW, (height, width, rows, columns) in zip(
                logits_NKHW, raw.extents.tolist(), strict=True
            )
            if height and width
        ]

    def not_finite(self, outputs: list[Tensor], raw: RawBatch) -> int:
        """Count the images that have a logit that is not finite."""
        return sum(bool((predicted == self.num_classes).any()) for predicted in outputs)

    def predictions(
        self, device: torch.device, *, keep_logits: bool = False
    ) -> SegmentationPredictions:
        """Return what counts the pixels of an evaluation."""
        return SegmentationPredictions(self.num_classes, device)


@dataclass(frozen=True)
class SegmentationValidation(TaskValidation):
    """The metrics of a part, and the numbers of pixels that they are made of."""

    counts: PixelCounts

    def stored(self, part: Part, classes: Sequence[str]) -> Stored:
        """Return `pixel_scores.csv`: pixel accuracy and mean IoU of each image, in percent."""
        names = [part.names[place] for place in self.index.tolist()]
        return Stored(PIXEL_SCORES, pixel_scores_csv(pixel_score_rows(names, self.counts.by_image)))

    def per_class(self) -> list[PixelScore]:
        """Return the scores of every class, in order."""
        return self.counts.per_class()

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of the metrics over images."""
        return self.counts.intervals()


class SegmentationPredictions(Predictions):
    """The numbers of pixels by true and predicted class."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._counter = PixelCounter(num_classes, device)
        self._index: list[int] = []

    def add(self, raw: RawBatch, outputs: list[Tensor], labels: Tensor) -> None:
        """Count the pixels of a batch; images that could not be read count nothing."""
        read = raw.valid.nonzero()[:, 0].tolist()
        for i, predicted_HW in zip(read, outputs, strict=True):
            rows, columns = raw.extents[i, 2:].tolist()
            self._counter.add(predicted_HW, labels[i, :rows, :columns])
            self._index.append(int(raw.index[i]))

    def validation(
        self, pace: Pace, thresholds: tuple[float, ...] | None, gather: Gather | None = None
    ) -> SegmentationValidation:
        """Return the metrics of this process, or with `gather` of all processes."""
        counts, index = self._counter.counts(), self._index
        images, seconds = pace.images, pace.seconds
        if gather is not None:
            rows = gather([counts.to_dict(), index, *pace])
            parts, indices, lengths, all_images, all_seconds = zip(*rows, strict=True)
            counts = PixelCounts.merged(map(PixelCounts.from_dict, parts))
            images, seconds = sum(all_images), max(all_seconds)
            index = places_in_part(indices, lengths)
        return SegmentationValidation(
            metrics=counts.metrics(),
            throughput=Pace.throughput(images, seconds),
            index=np.array(index, np.int64),
            counts=counts,
        )
