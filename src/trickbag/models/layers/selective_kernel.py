"""Selective kernels: two parallel convolutions, weighed against each other channel by channel.

Sources: Li et al. 2019 (arXiv 1903.06586), section 3.1 (the original); Lee et al. 2020 (arXiv
2001.06268), section 3.1.2 and its code (one convolution in place of two). Shapes: N images, C
channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from trickbag.models.layers.slots import Slots

__all__ = ["AssembleKernel2d", "ConvNorm", "DilatedKernels2d", "KernelAttention"]


class ConvNorm(nn.Module):
    """A square convolution, a normalisation, the drop slot and an activation.

    (N, `in_channels`, H, W) becomes (N, `out_channels`, H / stride, W / stride), rounded up. The
    layers have timm's names for such a group. Without `activation` it ends after the drop slot.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        activation: bool = True,
        drop: bool = False,
        slots: Slots,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.bn = slots.norm(out_channels)
        self.drop = slots.drop() if drop and slots.drop is not None else nn.Identity()
        self.act = slots.activation() if activation else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the convolved, normalised, activated map."""
        y_NCHW: Tensor = self.act(self.drop(self.bn(self.conv(x_NCHW))))
        return y_NCHW


class KernelAttention(nn.Module):
    """Weigh two maps (N, C, H, W) against each other: two weights for each channel, of sum 1.

    They are the softmax over the two of W2 act(norm(W1 s)); s (N, C, 1, 1) is the mean over the
    pixels of the maps' sum, and W1 has `inside` outputs. There are no biases. In training the
    normalisation needs more than one image.
    """

    def __init__(self, channels: int, inside: int, *, slots: Slots) -> None:
        super().__init__()
        self.fc_reduce = nn.Conv2d(channels, inside, 1, bias=False)
        self.bn = slots.norm(inside)
        self.act = slots.activation()
        self.fc_select = nn.Conv2d(inside, 2 * channels, 1, bias=False)

    def forward(self, means_NC11: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights (N, C, 1, 1) of both maps, from the mean of their sum."""
        logits: Tensor = self.fc_select(self.act(self.bn(self.fc_reduce(means_NC11))))
        n, channels = means_NC11.shape[:2]
        first, second = logits.reshape(n, 2, channels, 1, 1).softmax(1).unbind(1)
        return first, second


class AssembleKernel2d(nn.Module):
    """One 3x3 convolution to `2 width` channels, whose halves are weighed and added.

    (N, `in_channels`, H, W) becomes (N, `width`, H / stride, W / stride), rounded up. The attention
    has `inside` channels.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        inside: int,
        *,
        stride: int = 1,
        groups: int = 1,
        slots: Slots,
    ) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, 2 * width, 3, stride=stride, groups=groups, slots=slots)
        self.attn = KernelAttention(width, inside, slots=slots)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the weighted sum of the two halves."""
        both: Tensor = self.conv(x_NCHW)
        first, second = both.chunk(2, 1)
        # The mean of the sum is the sum of the means, so the maps themselves are not added.
        mean_first, mean_second = both.mean((2, 3), keepdim=True).chunk(2, 1)
        weight_first, weight_second = self.attn(mean_first + mean_second)
        return torch.addcmul(first * weight_first, second, weight_second)


class DilatedKernels2d(nn.Module):
    """A 3x3 convolution and one of dilation 2, which reaches as far as a 5x5; weighed and added.

    (N, `in_channels`, H, W) becomes (N, `width`, H / stride, W / stride), rounded up. With `split`
    each sees its half of the input's channels, as in timm; without, both see all, as in the paper.
    The attention has `inside` channels.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        inside: int,
        *,
        stride: int = 1,
        groups: int = 1,
        split: bool = False,
        slots: Slots,
    ) -> None:
        super().__init__()
        self.split = split
        path_channels = in_channels // 2 if split else in_channels
        self.paths = nn.ModuleList(
            ConvNorm(
                path_channels,
                width,
                3,
                stride=stride,
                groups=groups,
                dilation=dilation,
                slots=slots,
            )
            for dilation in (1, 2)
        )
        self.attn = KernelAttention(width, inside, slots=slots)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the weighted sum of the two paths."""
        near, far = x_NCHW.chunk(2, 1) if self.split else (x_NCHW, x_NCHW)
        first, second = self.paths[0](near), self.paths[1](far)
        # In the order of timm's operations: a softmax far from its middle amplifies rounding.
        weight_first, weight_second = self.attn((first + second).mean((2, 3), keepdim=True))
        out_NCHW: Tensor = first * weight_first + second * weight_second
        return out_NCHW
