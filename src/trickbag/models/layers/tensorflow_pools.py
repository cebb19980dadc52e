"""Pools that pad as TensorFlow's do: the quirks of the original networks of Lee et al. 2020.

Source: the paper's code (arXiv 2001.06268); its networks without Big-Little branches have them.
Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ShortcutAvgPool2d", "StemMaxPool2d"]


class StemMaxPool2d(nn.Module):
    """The 3x3 max-pool of stride 2 that pads on the right and below only where the size is even
    ("SAME")."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the map at half its size, rounded up."""
        height, width = x_NCHW.shape[-2:]
        return functional.max_pool2d(x_NCHW, 3, 2, padding=(height % 2, width % 2), ceil_mode=True)


class ShortcutAvgPool2d(nn.Module):
    """The 2x2 average pool of a ResNet-D shortcut, at stride 1 too, which pads on the right and below.

    At stride 2 the padding counts as zeros, at stride 1 it is not counted.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the map at 1 / `stride` of its size, rounded up."""
        # An edge repeated once has the mean of a window that leaves the padding out.
        padded = functional.pad(
            x_NCHW, (0, 1, 0, 1), mode="replicate" if self.stride == 1 else "constant"
        )
        return functional.avg_pool2d(padded, 2, self.stride)
