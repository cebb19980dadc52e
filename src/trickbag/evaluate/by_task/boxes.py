"""The boxes that a detector predicts for images.

Shapes: N images of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from trickbag.data.loading.box_samples import BoxSample, evaluation_sample, on_canvas
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.evaluate.by_task.form import NOT_FINITE, TaskForm
from trickbag.tasks.box_predictions import ImageBoxes, boxes_in_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.evaluate.trained import Trained
    from trickbag.models.detection.detector import Detections

__all__ = ["BoxForm"]


class BoxForm(TaskForm):
    """Lays images on a canvas, as a detector's validation does, and names its boxes."""

    def __init__(self, trained: Trained, least: float = 0.0) -> None:
        super().__init__(trained)
        self.least = least

    def sample(self, image_HWC: NDArray[np.uint8]) -> BoxSample:
        """Return an image scaled as in validation, without objects."""
        return evaluation_sample(image_HWC, np.zeros((0, 6)), self.preprocessing)

    def batch(self, samples: Sequence[BoxSample]) -> RawBatch:
        """Return samples on a canvas."""
        canvas = on_canvas(samples, self.preprocessing)
        return RawBatch(
            images=torch.from_numpy(canvas.images),
            labels=torch.from_numpy(canvas.labels),
            index=torch.arange(len(samples)),
            valid=torch.ones(len(samples), dtype=torch.bool),
            extents=torch.from_numpy(canvas.extents),
        )

    def predictions(
        self, names: Sequence[str], outputs: list[Detections], raw: RawBatch
    ) -> list[ImageBoxes]:
        """Return the boxes of each image, in pixels of its file."""
        rows = zip(names, outputs, raw.extents.tolist(), strict=True)
        return [self._boxes(name, detected, extent) for name, detected, extent in rows]

    def _boxes(self, name: str, detected: Detections, extent: list[int]) -> ImageBoxes:
        columns = (detected.labels[:, None], detected.boxes, detected.scores[:, None])
        rows_B6 = torch.cat([column.double().cpu() for column in columns], dim=1).numpy()
        if not detected.finite or not np.isfinite(rows_B6).all():
            return self.unread(name, NOT_FINITE.format("feature maps or boxes"))
        rows_B6[:, 1:5] = boxes_in_file(rows_B6[:, 1:5], extent)
        size = extent[2], extent[3]
        return ImageBoxes.of(name, size, rows_B6, self.classes, self.least)

    def unread(self, name: str, error: str) -> ImageBoxes:
        """Return an image without boxes, and why it has none."""
        return ImageBoxes(file=name, width=0, height=0, error=error)
