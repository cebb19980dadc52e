"""The loss of segmentation: softmax cross-entropy of every pixel that has a class.

Shapes: N images, K classes, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from trickbag.metrics.segmentation import IGNORED

if TYPE_CHECKING:
    from trickbag.functional.batch import Batch

__all__ = ["PixelCrossEntropy", "pixel_cross_entropy"]


def pixel_cross_entropy(logits_NKHW: Tensor, masks_NHW: Tensor) -> Tensor:
    """Return `-log softmax(logits)` of the class of each pixel, summed and divided by H W, (N,).

    A pixel that is IGNORED counts nothing, so that an image counts by the share of its pixels that
    have a class. The sum over the images of a batch, divided by the sum of their shares, is the
    mean over all of its pixels that have a class, as in the references. It can be computed in
    parts, by accumulation or by several processes, which share that one number alone.
    """
    loss_NHW = functional.cross_entropy(
        logits_NKHW, masks_NHW.long(), ignore_index=IGNORED, reduction="none"
    )
    return loss_NHW.mean(dim=(1, 2))


@dataclass(frozen=True)
class PixelCrossEntropy:
    """Softmax cross-entropy of pixels, the mean over the rows of `pixel_cross_entropy`."""

    def __call__(self, logits_NKHW: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, whose targets are masks (N, H, W), a scalar."""
        # Over all rows and pixels, whatever they count: the step divides by what has a class.
        return pixel_cross_entropy(logits_NKHW, batch.targets).mean()
