"""Shortcuts of residual blocks that change the shape of what they carry.

Source: He et al. 2018 (arXiv 1812.01187), section 4.1 and figure 2c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from trickbag.models.layers.slots import Slots

__all__ = ["avg_pool_shortcut", "conv_shortcut"]


def conv_shortcut(in_channels: int, out_channels: int, stride: int, slots: Slots) -> nn.Sequential:
    """Build the original shortcut: a 1x1 convolution that has the stride, and a normalisation.

    At stride 2 it ignores three quarters of its input.
    """
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
    return nn.Sequential(conv, slots.norm(out_channels), *_drop(slots))


def avg_pool_shortcut(in_channels: int, out_channels: int, stride: int, slots: Slots) -> nn.Sequential:
    """Build the shortcut of ResNet-D: a 2x2 average pool that has the stride, a 1x1 convolution, a normalisation.

    At odd sizes the last window is smaller and averages what it has. At stride 1 the pool is the identity.
    """
    pool = nn.Identity() if stride == 1 else nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(pool, conv, slots.norm(out_channels), *_drop(slots))


def _drop(slots: Slots) -> list[nn.Module]:
    return [] if slots.drop is None else [slots.drop()]
