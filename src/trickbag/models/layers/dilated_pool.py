"""The average pool of a network whose strides have become dilations.

torch has no average pool with a dilation. Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DilatedAvgPool2d"]


class DilatedAvgPool2d(nn.Module):
    """Average `kernel` x `kernel` pixels that lie `dilation` apart, around every pixel of a map.

    (N, C, H, W) becomes (N, C, H / stride, W / stride), rounded up. A window begins `before` pixels
    left of and above its pixel. What of it lies outside of the map is zero. It counts in the
    average within `counted` pixels of the map (before and behind it, along both axes), as the
    padding of `nn.AvgPool2d` with `count_include_pad` does; beyond them it does not count.
    """

    def __init__(
        self,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        before: int = 0,
        counted: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.before, self.counted = before, counted

    def extra_repr(self) -> str:
        """Return the layer's settings for its repr."""
        return (
            f"{self.kernel}, stride={self.stride}, dilation={self.dilation}, before={self.before}, "
            f"counted={self.counted}"
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the averages."""
        reach = (self.kernel - 1) * self.dilation
        height, width = x_NCHW.shape[-2:]
        padding = (self.before, reach - self.before)
        padded = functional.pad(x_NCHW, (*padding, *padding))
        starts = range(0, reach + 1, self.dilation)
        step = self.stride
        rows = _total(padded[:, :, start : start + height : step] for start in starts)
        total_NCHW = _total(rows[:, :, :, start : start + width : step] for start in starts)
        if self.counted == padding:
            return total_NCHW / self.kernel**2
        counts_HW = self._counts(height, x_NCHW)[:, None] * self._counts(width, x_NCHW)
        return total_NCHW / counts_HW

    def _counts(self, pixels: int, like: Tensor) -> Tensor:
        """Return how many pixels of each window count along an axis."""
        places = torch.arange(0, pixels, self.stride, device=like.device)[:, None] - self.before
        taps = places + self.dilation * torch.arange(self.kernel, device=like.device)
        before, behind = self.counted
        return ((taps >= -before) & (taps < pixels + behind)).sum(1).to(like.dtype)


def _total(tensors: Iterable[Tensor]) -> Tensor:
    first, *others = tensors
    for tensor in others:
        first = first + tensor
    return first
