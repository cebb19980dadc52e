"""Residual blocks whose spatial convolution is a selective kernel.

Their parameters have timm's names, so that its weights load.
Sources: Li et al. 2019 (arXiv 1903.06586), section 3.2; Lee et al. 2020 (arXiv 2001.06268), section
3.1.2. Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from trickbag.models.layers.blocks import split_stride, zero_scale
from trickbag.models.layers.selective_kernel import ConvNorm
from trickbag.models.layers.slots import Slots, anti_aliased, optional

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SelectiveBasicBlock", "SelectiveBottleneck"]


class SelectiveBasicBlock(nn.Module):
    """A selective kernel and a 3x3 convolution beside a shortcut; the first has the stride.

    (N, `in_channels`, H, W) becomes (N, `width`, H / stride, W / stride), rounded up. `downsample`
    is the shortcut of a block that changes the shape; with None the input itself is added.
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        downsample: nn.Module | None = None,
        slots: Slots,
    ) -> None:
        super().__init__()
        kernel_stride, self.aa = anti_aliased(slots.anti_alias, width, stride)
        self.conv1 = _kernel(slots)(in_channels, width, kernel_stride, 1, slots)
        self.drop1 = optional(slots.drop)
        self.conv2 = ConvNorm(width, width, 3, activation=False, drop=True, slots=slots)
        self.se = optional(slots.attention, width)
        self.drop_path = optional(slots.branch_drop)
        self.downsample = downsample or nn.Identity()
        self.act = slots.activation()

    def zero_init_last(self) -> None:
        """Set gamma of the branch's last normalisation to 0: the block starts as its shortcut."""
        zero_scale(self.conv2.bn)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the activated sum of residual branch and shortcut."""
        x: Tensor = self.aa(self.drop1(self.conv1(x_NCHW)))
        x = self.drop_path(self.se(self.conv2(x)))
        x += self.downsample(x_NCHW)  # in place, as the branch is not needed again
        out: Tensor = self.act(x)
        return out


class SelectiveBottleneck(nn.Module):
    """A 1x1 convolution, a selective kernel and a 1x1 convolution beside a shortcut.

    Arguments and shapes are those of `Bottleneck`; `slots.selective_kernel` replaces the 3x3
    convolution.
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        branch_stride: Literal["first", "middle"] = "middle",
        groups: int = 1,
        group_width: int = 64,
        downsample: nn.Module | None = None,
        last_activation: bool = True,
        slots: Slots,
    ) -> None:
        super().__init__()
        out_channels, inside = width * self.expansion, groups * (width * group_width // 64)
        first_stride, middle_stride = split_stride(stride, branch_stride)
        first_stride, self.aa1 = anti_aliased(slots.anti_alias, inside, first_stride)
        middle_stride, self.aa2 = anti_aliased(slots.anti_alias, inside, middle_stride)
        self.conv1 = ConvNorm(in_channels, inside, 1, stride=first_stride, drop=True, slots=slots)
        self.conv2 = _kernel(slots)(inside, inside, middle_stride, groups, slots)
        self.drop2 = optional(slots.drop)
        self.conv3 = ConvNorm(inside, out_channels, 1, activation=False, drop=True, slots=slots)
        self.se = optional(slots.attention, out_channels)
        self.drop_path = optional(slots.branch_drop)
        self.downsample = downsample or nn.Identity()
        self.act = slots.activation() if last_activation else nn.Identity()

    def zero_init_last(self) -> None:
        """Set gamma of the branch's last normalisation to 0: the block starts as its shortcut."""
        zero_scale(self.conv3.bn)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the activated sum of residual branch and shortcut."""
        x: Tensor = self.aa1(self.conv1(x_NCHW))
        x = self.aa2(self.drop2(self.conv2(x)))
        x = self.drop_path(self.se(self.conv3(x)))
        x += self.downsample(x_NCHW)  # in place, as the branch is not needed again
        out: Tensor = self.act(x)
        return out


def _kernel(slots: Slots) -> Callable[[int, int, int, int, Slots], nn.Module]:
    if slots.selective_kernel is None:
        raise ValueError(
            "a selective block needs slots.selective_kernel; without one take BasicBlock or "
            "Bottleneck"
        )
    return slots.selective_kernel
