"""The slots of a residual block: what can be put into one, as callables that build a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Slots", "anti_aliased", "optional"]


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What a stem or a block is made of; an empty slot is None.

    `norm(channels)` and `activation()` build the layers that every convolution is followed by.
    `attention(channels)` acts on the end of the residual branch, before the addition.
    `selective_kernel(in_channels, width, stride, groups, slots)` stands in the place of the
    branch's spatial convolution, its normalisation and its activation. `anti_alias(channels,
    stride)` takes over the stride of that convolution, after its activation, and
    `shortcut_anti_alias(channels, stride)` that of the shortcut, before its convolution. `drop()`
    follows every normalisation of a block, the shortcut's included, and a selective kernel as a
    whole (the places of DropBlock; Lee et al. 2020, section 3.2). `branch_drop()` is the last of
    the residual branch, before the addition.
    """

    norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]
    attention: Callable[[int], nn.Module] | None = None
    selective_kernel: Callable[[int, int, int, int, Slots], nn.Module] | None = None
    anti_alias: Callable[[int, int], nn.Module] | None = None
    shortcut_anti_alias: Callable[[int, int], nn.Module] | None = None
    drop: Callable[[], nn.Module] | None = None
    branch_drop: Callable[[], nn.Module] | None = None


def optional(layer: Callable[..., nn.Module] | None, *sizes: int) -> nn.Module:
    """Build the layer of a slot; an empty slot gives the identity."""
    return nn.Identity() if layer is None else layer(*sizes)


def anti_aliased(
    anti_alias: Callable[[int, int], nn.Module] | None, channels: int, stride: int
) -> tuple[int, nn.Module]:
    """Divide a stride: return what the convolution keeps of it, and the layer that takes the
    rest."""
    if anti_alias is None or stride == 1:
        return stride, nn.Identity()
    return 1, anti_alias(channels, stride)
