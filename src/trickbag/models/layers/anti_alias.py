"""Blur before subsampling, so that a small shift of an image changes its features little.

Source: Zhang 2019 (arXiv 1904.11486), section 3.2. Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BlurPool2d", "binomial", "blur_pool"]


def binomial(size: int) -> Tensor:
    """Return the binomial filter (size, size) of sum 1.

    For size 3 it is the outer product of [1, 2, 1] / 4 with itself.
    """
    row = torch.tensor(
        [float(math.comb(size - 1, k)) for k in range(size)], dtype=torch.float64
    ) / 2 ** (size - 1)
    return torch.outer(row, row).float()


def blur_pool(
    x_NCHW: Tensor, filter_C1SS: Tensor, stride: int, *, round_up: bool = True, dilation: int = 1
) -> Tensor:
    """Filter each channel by its own filter (S, S), and keep every `stride`-th pixel.

    (N, C, H, W) becomes (N, C, H / stride, W / stride). The map is padded by reflection, (S - 1) //
    2 pixels on each side for even and odd S alike, as in the code of Lee et al. 2020; a map with
    too few pixels for that is padded by its edge. With a filter of even size the result is rounded
    down, which at odd sizes H and W fits no shortcut. `round_up` pads one more pixel on the right
    and below, so that it is rounded up; nothing else changes. The filter's pixels lie `dilation`
    apart, and the padding is as many times as wide.
    """
    size = filter_C1SS.shape[-1]
    before = dilation * ((size - 1) // 2)
    after = dilation * (size - 1) - before if round_up else before
    if after:
        mode = "reflect" if min(x_NCHW.shape[-2:]) > after else "replicate"
        x_NCHW = functional.pad(x_NCHW, (before, after, before, after), mode=mode)
    return functional.conv2d(
        x_NCHW, filter_C1SS, stride=stride, dilation=dilation, groups=filter_C1SS.shape[0]
    )


class BlurPool2d(nn.Module):
    """Blur a map by the binomial filter of `size`, and keep every `stride`-th pixel.

    (N, `channels`, H, W) becomes (N, `channels`, H / stride, W / stride). See `blur_pool` for
    `round_up`. The layer has no parameters, and its filter is not saved with a network's weights.
    Its `dilation` is 1, unless a network is dilated (`models.segmentation.dilation`).
    """

    kernel: Tensor
    dilation: int = 1

    def __init__(
        self, channels: int, *, size: int = 3, stride: int = 2, round_up: bool = True
    ) -> None:
        super().__init__()
        self.round_up = round_up
        self.stride = stride
        # A clone, because torch refuses to write into expanded memory, and `Ema` and SAM write into
        # buffers in place.
        self.register_buffer(
            "kernel", binomial(size).expand(channels, 1, size, size).clone(), persistent=False
        )

    def extra_repr(self) -> str:
        """Return the layer's settings for its repr."""
        channels, _, size, _ = self.kernel.shape
        dilation = f", dilation={self.dilation}" if self.dilation > 1 else ""
        return f"{channels}, size={size}, stride={self.stride}{dilation}"

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the blurred map at every `stride`-th pixel."""
        return blur_pool(
            x_NCHW, self.kernel, self.stride, round_up=self.round_up, dilation=self.dilation
        )
