"""Pools that pad as those of TensorFlow, which the original networks of Lee et al. 2020 have.

Source: the code of the paper (arXiv 2001.06268); its networks without Big-Little branches use them.
Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ShortcutAvgPool2d", "StemMaxPool2d"]


class StemMaxPool2d(nn.Module):
    """The 3x3 max-pool of stride 2 with TensorFlow's padding "SAME".

    An even size is padded on the right and below only.
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the map (N, C, H / 2, W / 2), rounded up."""
        height, width = x_NCHW.shape[-2:]
        # ceil_mode lets the last window of an even size reach one pixel over the edge.
        return functional.max_pool2d(x_NCHW, 3, 2, padding=(height % 2, width % 2), ceil_mode=True)


class ShortcutAvgPool2d(nn.Module):
    """The 2x2 average pool of a ResNet-D shortcut, which also pools at stride 1.

    It pads on the right and below. At stride 2 the padding counts as zeros, at stride 1 it is not
    counted.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the map (N, C, H / stride, W / stride), rounded up."""
        # A window over a repeated edge has the same mean as one that does not count the padding.
        padded = functional.pad(
            x_NCHW, (0, 1, 0, 1), mode="replicate" if self.stride == 1 else "constant"
        )
        return functional.avg_pool2d(padded, 2, self.stride)
