"""The MobileNet v1 of this package, built slot by slot from a `MobileNetConfig`.

Its parameters have the names that they have in timm, so that weights published there load.
Source: Howard et al. 2017 (arXiv 1704.04861), table 1. Shapes: N images, C channels, H and W
pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from trickbag.models.classifier import Classifier, Level, slots_of
from trickbag.models.layers.blocks import Blocks
from trickbag.models.layers.slots import Slots, anti_aliased, optional
from trickbag.models.rounding import round_channels, round_repeats

if TYPE_CHECKING:
    from trickbag.models.config import MobileNetConfig

__all__ = ["MobileNet", "SeparableBlock"]

_STEM_CHANNELS = 32
_STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
"""Channels and blocks of each stage; from the second stage on the first block has stride 2."""


class SeparableBlock(nn.Module):
    """A depthwise 3x3 convolution and a 1x1, each with a normalisation and an activation.

    (N, `in_channels`, H, W) becomes (N, `out_channels`, H / `stride`, W / `stride`), rounded up.
    There is no shortcut; what fills the attention slot acts at the end.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, slots: Slots
    ) -> None:
        super().__init__()
        conv_stride, self.aa = anti_aliased(slots.anti_alias, in_channels, stride)
        self.conv_dw = nn.Conv2d(
            in_channels, in_channels, 3, conv_stride, padding=1, groups=in_channels, bias=False
        )
        self.bn1 = slots.norm(in_channels)
        self.drop1 = optional(slots.drop)
        self.act1 = slots.activation()
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = slots.norm(out_channels)
        self.drop2 = optional(slots.drop)
        self.act2 = slots.activation()
        self.se = optional(slots.attention, out_channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the activated output of the 1x1 convolution, after attention if there is some."""
        x: Tensor = self.aa(self.act1(self.drop1(self.bn1(self.conv_dw(x_NCHW)))))
        out: Tensor = self.se(self.act2(self.drop2(self.bn2(self.conv_pw(x)))))
        return out


class MobileNet(Classifier):
    """A MobileNet v1: images (N, C, H, W) of any size from 8 px to logits (N, K).

    `MobileNetConfig` says what its slots are. Its five stages end at 1/2 to 1/32 of the image's
    size; with a stem for small images the maps are up to four times as large.
    """

    head = "classifier"
    config: MobileNetConfig

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__(config)
        channels = round_channels(_STEM_CHANNELS, config.width_factor)
        stride = 1 if config.stem == "small_s1" else 2
        self.conv_stem = nn.Conv2d(config.in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = config.norm(channels)
        self.act1 = config.activation()
        stages = []
        for stage, (width, blocks) in enumerate(_STAGES):
            out_channels = self._channels(width)
            repeats = round_repeats(blocks, config.depth_factor)
            # Stage 0 here has the map size of a ResNet's stem, so DropBlock counts from the next.
            slots = slots_of(config, stage=stage)
            first = SeparableBlock(channels, out_channels, stride=self._stride(stage), slots=slots)
            rest = (
                SeparableBlock(out_channels, out_channels, slots=slots) for _ in range(repeats - 1)
            )
            stages.append(Blocks(first, *rest))
            channels = out_channels
        self.blocks = nn.Sequential(*stages)
        self.add_head(channels)

    def _channels(self, width: int) -> int:
        return round_channels(width, self.config.width_factor)

    def _stride(self, stage: int) -> int:
        """Return the stride of a stage; a stem for small images leaves out that of the second."""
        if stage == 0 or (stage == 1 and self.config.stem != "imagenet"):
            return 1
        return 2

    def levels(self) -> tuple[Level, ...]:
        """List the stages; the stem belongs to the first."""
        before: tuple[nn.Module, ...] = (self.conv_stem, self.bn1, self.act1)
        reduction, levels = self.conv_stem.stride[0], []
        for stage, (width, _) in enumerate(_STAGES):
            reduction *= self._stride(stage)
            modules = (*before, self.blocks[stage])
            levels.append(Level(f"blocks.{stage}", modules, self._channels(width), reduction))
            before = ()
        return tuple(levels)

    def stem_parameters(self) -> list[nn.Parameter]:
        """List the parameters before the first block."""
        return [*self.conv_stem.parameters(), *self.bn1.parameters()]

    def body_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters of each block."""
        return [list(block.parameters()) for stage in self.blocks for block in stage.children()]
