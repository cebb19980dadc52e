"""Shortcuts of residual blocks that change the shape.

Each takes (N, `in_channels`, H, W) to (N, `out_channels`, H / stride, W / stride), rounded up.

Sources: He et al. 2018 (arXiv 1812.01187), section 4.1 and figure 2c; Chen et al. 2019 (arXiv
1807.03848) and the code of Lee et al. 2020 (arXiv 2001.06268) for Big-Little networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from trickbag.models.layers.slots import anti_aliased
from trickbag.models.layers.tensorflow_pools import ShortcutAvgPool2d

if TYPE_CHECKING:
    from trickbag.models.layers.slots import Slots

__all__ = ["avg_pool_shortcut", "conv_shortcut", "padded_pool_shortcut", "tensorflow_pool_shortcut"]


def conv_shortcut(in_channels: int, out_channels: int, stride: int, slots: Slots) -> nn.Sequential:
    """Build the original shortcut: a 1x1 convolution that has the stride, and a normalisation.

    At stride 2 it ignores three quarters of its input, unless `slots.shortcut_anti_alias` takes
    over the stride.
    """
    conv_stride, anti_alias = anti_aliased(slots.shortcut_anti_alias, in_channels, stride)
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=conv_stride, bias=False)
    # No identity in its place: in timm's weights the convolution is 0, the normalisation 1.
    before = [] if conv_stride == stride else [anti_alias]
    return nn.Sequential(*before, conv, slots.norm(out_channels), *_drop(slots))


def avg_pool_shortcut(
    in_channels: int, out_channels: int, stride: int, slots: Slots
) -> nn.Sequential:
    """Build the shortcut of ResNet-D: a 2x2 average pool, a 1x1 convolution, a normalisation.

    The pool has the stride; at odd sizes its last window is smaller and averages fewer pixels. At
    stride 1 there is no pool.
    """
    # An identity keeps timm's names: the convolution is 1 with and without a pool.
    pool: nn.Module = nn.Identity()
    if stride != 1:
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
    return _pooled(in_channels, out_channels, stride, pool, slots)


def padded_pool_shortcut(
    in_channels: int, out_channels: int, stride: int, slots: Slots
) -> nn.Sequential:
    """Build the shortcut of Big-Little networks: a 3x3 average pool, then a 1x1 convolution.

    The pool has the stride; its padding counts as zeros. At stride 1 there is no pool.
    """
    pool = nn.Identity() if stride == 1 else nn.AvgPool2d(3, stride, padding=1)
    return _pooled(in_channels, out_channels, stride, pool, slots)


def tensorflow_pool_shortcut(
    in_channels: int, out_channels: int, stride: int, slots: Slots
) -> nn.Sequential:
    """Build the shortcut of ResNet-D as in the code of Lee et al. 2020: with a pool at stride 1."""
    return _pooled(in_channels, out_channels, stride, ShortcutAvgPool2d(stride), slots)


def _pooled(
    in_channels: int, out_channels: int, stride: int, pool: nn.Module, slots: Slots
) -> nn.Sequential:
    """Build a shortcut that shrinks before its convolution, by `pool` or by the slot for that."""
    if stride != 1 and slots.shortcut_anti_alias is not None:
        pool = slots.shortcut_anti_alias(in_channels, stride)
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(pool, conv, slots.norm(out_channels), *_drop(slots))


def _drop(slots: Slots) -> list[nn.Module]:
    return [] if slots.drop is None else [slots.drop()]
