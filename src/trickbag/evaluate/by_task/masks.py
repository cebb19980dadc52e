"""The masks that a segmenter predicts for images.

Shapes: N images of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from trickbag.data.loading.mask_samples import evaluation_image
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.evaluate.by_task.form import NOT_FINITE, TaskForm
from trickbag.tasks.mask_predictions import ImageMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["MaskForm"]


class _Sample(NamedTuple):
    """An image on its canvas (C, H, W), and its extent, see `RawBatch`."""

    image: NDArray[np.uint8]
    extent: tuple[int, int, int, int]


class MaskForm(TaskForm):
    """Lays images on the canvas of a segmenter's validation, and names the shares of classes."""

    def sample(self, image_HWC: NDArray[np.uint8]) -> _Sample:
        """Return an image scaled as in validation."""
        canvas, (height, width) = evaluation_image(image_HWC, self.preprocessing)
        return _Sample(canvas, (height, width, *image_HWC.shape[:2]))

    def batch(self, samples: Sequence[_Sample]) -> RawBatch:
        """Return samples as a batch."""
        return RawBatch(
            images=torch.from_numpy(np.stack([sample.image for sample in samples])),
            labels=torch.zeros(len(samples), 1, 1, dtype=torch.uint8),
            index=torch.arange(len(samples)),
            valid=torch.ones(len(samples), dtype=torch.bool),
            extents=torch.tensor([sample.extent for sample in samples]),
        )

    def predictions(
        self, names: Sequence[str], outputs: list[Tensor], raw: RawBatch
    ) -> list[ImageMask]:
        """Return the class of each pixel of each image's file."""
        masks = []
        for name, predicted in zip(names, outputs, strict=True):
            classes_HW = predicted.cpu().numpy().astype(np.uint8)
            if (classes_HW == len(self.classes)).any():
                masks.append(self.unread(name, NOT_FINITE.format("logits")))
            else:
                masks.append(ImageMask(file=name, mask=classes_HW))
        return masks

    def unread(self, name: str, error: str) -> ImageMask:
        """Return an image without a mask, and why it has none."""
        return ImageMask(file=name, mask=None, error=error)
