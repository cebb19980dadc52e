"""What a segmenter computes in a file: logits of pixels.

Shapes: N images, K classes, H and W pixels of the canvas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from trickbag.export.graph import ClassComputation

if TYPE_CHECKING:
    from trickbag.models.segmentation.segmenter import Segmenter

__all__ = ["MaskComputation"]


class MaskComputation(ClassComputation):
    """Logits (N, K, H, W) of images (N, C, H, W) on their canvas, for any N."""

    def module(self, network: nn.Module) -> nn.Module:
        """Return the segmenter without its auxiliary output."""
        return _Logits(cast("Segmenter", network))


class _Logits(nn.Module):
    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits (N, K, H, W)."""
        logits_NKHW: Tensor = self.segmenter(images_NCHW)[0]
        return logits_NKHW
