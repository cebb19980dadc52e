"""The slots of a residual block: callables that build the layers which fill them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Slots", "anti_aliased", "optional"]


@dataclass(frozen=True, kw_only=True)
class Slots:
    """The builders of the layers of a stem or a block; an empty slot is None.

    - `norm(channels)` and `activation()`: the layers that follow every convolution.
    - `attention(channels)`: at the end of the residual branch, before the addition.
    - `selective_kernel(in_channels, width, stride, groups, slots)`: replaces the spatial
      convolution of the branch, with its normalisation and its activation.
    - `anti_alias(channels, stride)`: takes over the stride of that convolution, after its
      activation. `shortcut_anti_alias(channels, stride)`: takes over that of the shortcut, before
      its convolution.
    - `drop()`: follows every normalisation of a block, the shortcut's included, and a selective
      kernel as one layer (the places of DropBlock; Lee et al. 2020, section 3.2).
    - `branch_drop()`: the last layer of the residual branch, before the addition.
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
    """Build the layer of a slot; an identity for an empty slot."""
    return nn.Identity() if layer is None else layer(*sizes)


def anti_aliased(
    anti_alias: Callable[[int, int], nn.Module] | None, channels: int, stride: int
) -> tuple[int, nn.Module]:
    """Return the stride that is left to a convolution, and the layer that has the rest of it."""
    if anti_alias is None or stride == 1:
        return stride, nn.Identity()
    return 1, anti_alias(channels, stride)
