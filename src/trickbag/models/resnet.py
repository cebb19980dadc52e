"""The ResNet of this package, built slot by slot from a `ResNetConfig`.

Its parameters have the names that they have in timm, so that weights published there load.
Sources: He et al. 2015 (arXiv 1512.03385), table 1; Xie et al. 2017 (arXiv 1611.05431), table 1; He
et al. 2018 (arXiv 1812.01187), section 4.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import nn

from trickbag.models.classifier import Classifier, Level, slots_of
from trickbag.models.layers.blocks import BasicBlock, Blocks, Bottleneck
from trickbag.models.layers.selective_blocks import SelectiveBasicBlock, SelectiveBottleneck
from trickbag.models.layers.shortcut import (
    avg_pool_shortcut,
    conv_shortcut,
    tensorflow_pool_shortcut,
)
from trickbag.models.layers.stem import STEMS, stem_convolution, stem_pool
from trickbag.models.rounding import round_channels, round_repeats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.models.config import ResNetConfig
    from trickbag.models.layers.slots import Slots

__all__ = ["ResNet"]

_BLOCKS_PER_STAGE: Mapping[int, tuple[int, int, int, int]] = MappingProxyType(
    {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
)
_STEM_CHANNELS = 64


class ResNet(Classifier):
    """A residual network: images (N, C, H, W) of any size from 8 px to logits (N, K).

    `ResNetConfig` says what its slots are. Its stages end at 1/4, 1/8, 1/16 and 1/32 of the image's
    size; with a stem for small images the maps are two or four times as large.
    """

    config: ResNetConfig
    layer1: Blocks
    layer2: Blocks
    layer3: Blocks
    layer4: Blocks

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        slots, stem = slots_of(config), round_channels(_STEM_CHANNELS, config.width_factor)
        self.conv1 = stem_convolution(config.stem, config.in_channels, stem, slots)
        self.bn1 = config.norm(stem)
        self.act1 = config.activation()
        self.maxpool = stem_pool(
            config.stem, stem, anti_alias=config.anti_alias, pooling=config.pooling
        )
        widths, expansion = config.widths, _expansion(config)
        self.layer1 = _stage(config, 1, stem, stride=1)
        self.layer2 = _stage(config, 2, widths[0] * expansion, stride=2)
        self.layer3 = _stage(config, 3, widths[1] * expansion, stride=2)
        self.layer4 = _stage(config, 4, widths[2] * expansion, stride=config.last_stride)
        self.add_head(widths[3] * expansion)

    def levels(self) -> tuple[Level, ...]:
        """List the stem up to its activation, and the four stages, the first with the max-pool."""
        config, form = self.config, STEMS[self.config.stem]
        stem = round_channels(_STEM_CHANNELS, config.width_factor)
        channels = [width * _expansion(config) for width in config.widths]
        pooled = form.stride * form.pool_stride
        return (
            Level("act1", (self.conv1, self.bn1, self.act1), stem, form.stride),
            Level("layer1", (self.maxpool, self.layer1), channels[0], pooled),
            Level("layer2", (self.layer2,), channels[1], 2 * pooled),
            Level("layer3", (self.layer3,), channels[2], 4 * pooled),
            Level("layer4", (self.layer4,), channels[3], 4 * pooled * config.last_stride),
        )

    def stem_parameters(self) -> list[nn.Parameter]:
        """List the parameters before the first stage."""
        return [*self.conv1.parameters(), *self.bn1.parameters()]

    def body_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters of each block."""
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        return [list(block.parameters()) for stage in stages for block in stage]


def _expansion(config: ResNetConfig) -> int:
    return BasicBlock.expansion if config.block == "basic" else Bottleneck.expansion


def _stage(config: ResNetConfig, stage: int, channels: int, *, stride: int) -> Blocks:
    """Build the blocks of stage 1 to 4; the first has the stride and takes `channels` channels."""
    width = config.widths[stage - 1]
    blocks = [
        round_repeats(number, config.depth_factor) for number in _BLOCKS_PER_STAGE[config.depth]
    ]
    out_channels, before = width * _expansion(config), sum(blocks[: stage - 1])
    first, *rest = (
        slots_of(config, stage=stage, depth=(before + place) / sum(blocks))
        for place in range(1, blocks[stage - 1] + 1)
    )
    changes_shape = stride != 1 or channels != out_channels
    downsample = _shortcut(config, channels, out_channels, stride, first) if changes_shape else None
    return Blocks(
        _block(config, first, channels, width, stride=stride, downsample=downsample),
        *(_block(config, slots, out_channels, width) for slots in rest),
    )


def _shortcut(
    config: ResNetConfig, in_channels: int, out_channels: int, stride: int, slots: Slots
) -> nn.Module:
    if config.shortcut == "conv":
        return conv_shortcut(in_channels, out_channels, stride, slots)
    build = tensorflow_pool_shortcut if config.pooling == "tensorflow" else avg_pool_shortcut
    return build(in_channels, out_channels, stride, slots)


def _block(
    config: ResNetConfig,
    slots: Slots,
    channels: int,
    width: int,
    *,
    stride: int = 1,
    downsample: nn.Module | None = None,
) -> nn.Module:
    selective = slots.selective_kernel is not None
    if config.block == "basic":
        basic = SelectiveBasicBlock if selective else BasicBlock
        return basic(channels, width, stride=stride, downsample=downsample, slots=slots)
    bottleneck = SelectiveBottleneck if selective else Bottleneck
    return bottleneck(
        channels,
        width,
        stride=stride,
        branch_stride=config.branch_stride,
        groups=config.cardinality,
        group_width=config.base_width,
        downsample=downsample,
        slots=slots,
    )
