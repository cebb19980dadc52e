"""A batch as it is loaded, and the request for one.

Shapes: N images of a batch, V views of an image, C channels, H and W pixels of the network's input,
M teachers or boxes, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig

__all__ = ["BatchRequest", "LoadedBatch", "RawBatch"]


class RawBatch(NamedTuple):
    """A batch before preprocessing on the device.

    images: (N, C, H, W) uint8; in training with `data.views`, (N, V, C, H, W), the unchanged crop
    first. labels: (N,) int64, or (N, K) of 0 and 1 with several labels per image; for detection
    (N, M, 6) float32, see `data.loading.box_samples`, and for segmentation (N, H, W) uint8, see
    `data.loading.mask_samples`. index: (N,) int64 rows of the part. valid: (N,) bool, False for an
    image that could not be decoded: its pixels are zeros, and it must not count. teacher_logits:
    (N, M, K) float32; M = 0 without teacher logits. extents: (N, 4) int64, height and width of the
    image within the canvas of the batch, then height and width of its file; (N, 0) for
    classification, whose crops fill the canvas.
    """

    images: Tensor
    labels: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which is not needed
    valid: Tensor
    teacher_logits: Tensor = torch.empty(0, 0, 0)
    extents: Tensor = torch.empty(0, 0, dtype=torch.int64)

    @property
    def nbytes(self) -> int:
        """The size of all tensors in bytes."""
        return sum(tensor.nbytes for tensor in self)


class BatchRequest(NamedTuple):
    """All that determines a batch.

    rows: its images. occurrences: for each row, how often the epoch has had its image before. data:
    the settings of this epoch. skip: rows that are known not to decode. decoded: for each row,
    whether its whole image has been decoded before; it changes how much is decoded, and no pixel.
    encoded: of streamed images, the bytes of each row, or the reason why they cannot be read.
    """

    epoch: int
    data: DataConfig
    rows: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    skip: frozenset[int]
    decoded: NDArray[np.bool_]
    encoded: tuple[bytes | str, ...] | None = None


class LoadedBatch(NamedTuple):
    """A batch, and the rows of it that could not be decoded with their reasons."""

    batch: RawBatch
    errors: tuple[tuple[int, str], ...]
