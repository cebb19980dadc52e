"""Residual blocks with slots; their parameters have timm's names, so that its weights load.

Sources: He et al. 2015 (arXiv 1512.03385), figure 5; He et al. 2018 (arXiv 1812.01187), section
4.1; Xie et al. 2017 (arXiv 1611.05431), figure 3c (groups). Shapes: N images, C channels, H and W
pixels.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trickbag.models.layers.slots import Slots, anti_aliased, optional

__all__ = ["BasicBlock", "Blocks", "Bottleneck", "split_stride", "zero_scale"]


def zero_scale(norm: nn.Module) -> None:
    """Set the scale gamma of a normalisation to zero, if it has one."""
    if isinstance(weight := getattr(norm, "weight", None), nn.Parameter):
        nn.init.zeros_(weight)


def split_stride(stride: int, branch_stride: Literal["first", "middle"]) -> tuple[int, int]:
    """Return the strides of the first and of the middle convolution of a bottleneck."""
    return (stride, 1) if branch_stride == "first" else (1, stride)


class Blocks(nn.Sequential):
    """Blocks in a row.

    With `recompute` only the input of each block is kept in memory, and the backward pass computes
    the inside of the block again (Chen et al. 2016, arXiv 1604.06174, section 4.1).
    """

    recompute: bool = False

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the output of the last block."""
        x: Tensor = x_NCHW
        for block in self:
            if self.recompute and torch.is_grad_enabled():
                # The reentrant form does not compile into one graph.
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x


class BasicBlock(nn.Module):
    """Two 3x3 convolutions of `width` channels beside a shortcut; the first has the stride.

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
        conv_stride, self.aa = anti_aliased(slots.anti_alias, width, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=conv_stride, padding=1, bias=False)
        self.bn1 = slots.norm(width)
        self.drop1 = optional(slots.drop)
        self.act1 = slots.activation()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = slots.norm(width)
        self.drop2 = optional(slots.drop)
        self.se = optional(slots.attention, width)
        self.drop_path = optional(slots.branch_drop)
        self.downsample = downsample or nn.Identity()
        self.act2 = slots.activation()

    def zero_init_last(self) -> None:
        """Set gamma of the branch's last normalisation to 0: the block starts as its shortcut."""
        zero_scale(self.bn2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the activated sum of residual branch and shortcut."""
        x: Tensor = self.aa(self.act1(self.drop1(self.bn1(self.conv1(x_NCHW)))))
        x = self.drop_path(self.se(self.drop2(self.bn2(self.conv2(x)))))
        x += self.downsample(x_NCHW)  # in place, as the branch is not needed again
        out: Tensor = self.act2(x)
        return out


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution beside a shortcut.

    (N, `in_channels`, H, W) becomes (N, 4 `width`, H / stride, W / stride), rounded up. Inside, the
    block has `groups * (width * group_width // 64)` channels, `width` by default, and the 3x3 has
    `groups` groups. `branch_stride` says which convolution has the stride: `first` the 1x1 (ResNet
    "A", which then ignores three quarters of its input), `middle` the 3x3 ("B", "C" and "D").
    `downsample` is the shortcut of a block that changes the shape; with None the input itself is
    added. Without `last_activation` the block ends with the addition.
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
        self.conv1 = nn.Conv2d(in_channels, inside, 1, stride=first_stride, bias=False)
        self.bn1 = slots.norm(inside)
        self.drop1 = optional(slots.drop)
        self.act1 = slots.activation()
        self.conv2 = nn.Conv2d(
            inside, inside, 3, stride=middle_stride, padding=1, groups=groups, bias=False
        )
        self.bn2 = slots.norm(inside)
        self.drop2 = optional(slots.drop)
        self.act2 = slots.activation()
        self.conv3 = nn.Conv2d(inside, out_channels, 1, bias=False)
        self.bn3 = slots.norm(out_channels)
        self.drop3 = optional(slots.drop)
        self.se = optional(slots.attention, out_channels)
        self.drop_path = optional(slots.branch_drop)
        self.downsample = downsample or nn.Identity()
        self.act3 = slots.activation() if last_activation else nn.Identity()

    def zero_init_last(self) -> None:
        """Set gamma of the branch's last normalisation to 0: the block starts as its shortcut."""
        zero_scale(self.bn3)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the activated sum of residual branch and shortcut."""
        x: Tensor = self.aa1(self.act1(self.drop1(self.bn1(self.conv1(x_NCHW)))))
        x = self.aa2(self.act2(self.drop2(self.bn2(self.conv2(x)))))
        x = self.drop_path(self.se(self.drop3(self.bn3(self.conv3(x)))))
        x += self.downsample(x_NCHW)  # in place, as the branch is not needed again
        out: Tensor = self.act3(x)
        return out
