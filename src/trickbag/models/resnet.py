"""Our own ResNet, built slot by slot from a `ResNetConfig`; its parameters are named as timm names them.

Sources: He et al. 2015 (arXiv 1512.03385), table 1; Xie et al. 2017 (arXiv 1611.05431), table 1; He et al. 2018 (arXiv
1812.01187), section 4. Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trickbag.models.classifier import Classifier, slots_of
from trickbag.models.layers.blocks import BasicBlock, Bottleneck
from trickbag.models.layers.selective_blocks import SelectiveBasicBlock, SelectiveBottleneck
from trickbag.models.layers.shortcut import avg_pool_shortcut, conv_shortcut, tensorflow_pool_shortcut
from trickbag.models.layers.stem import STEM_CHANNELS, stem_convolution, stem_pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.models.config import ResNetConfig
    from trickbag.models.layers.slots import Slots

__all__ = ["ResNet"]

_BLOCKS_PER_STAGE: Mapping[int, tuple[int, int, int, int]] = MappingProxyType(
    {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
)
_STAGE_WIDTHS = (64, 128, 256, 512)


class ResNet(Classifier):
    """A residual network for images of any size from 8 px; see `ResNetConfig` for its slots."""

    config: ResNetConfig
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        slots = slots_of(config)
        self.conv1 = stem_convolution(config.stem, config.in_channels, slots)
        self.bn1 = config.norm(STEM_CHANNELS)
        self.act1 = config.activation()
        self.maxpool = stem_pool(config.stem, anti_alias=config.anti_alias, pooling=config.pooling)
        widths, expansion = _STAGE_WIDTHS, _expansion(config)
        self.layer1 = _stage(config, 1, STEM_CHANNELS, stride=1)
        self.layer2 = _stage(config, 2, widths[0] * expansion, stride=2)
        self.layer3 = _stage(config, 3, widths[1] * expansion, stride=2)
        self.layer4 = _stage(config, 4, widths[2] * expansion, stride=config.last_stride)
        self.add_head(widths[3] * expansion)

    def forward_stem(self, images_NCHW: Tensor) -> Tensor:
        """Return the pooled features of the stem."""
        x: Tensor = self.maxpool(self.act1(self.bn1(self.conv1(images_NCHW))))
        return x

    def body_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters of each block."""
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        return [list(block.parameters()) for stage in stages for block in stage]


def _expansion(config: ResNetConfig) -> int:
    return BasicBlock.expansion if config.block == "basic" else Bottleneck.expansion


def _stage(config: ResNetConfig, stage: int, channels: int, *, stride: int) -> nn.Sequential:
    """Build the blocks of stage 1 to 4, the first of which has the stride and takes `channels` channels."""
    width, blocks = _STAGE_WIDTHS[stage - 1], _BLOCKS_PER_STAGE[config.depth]
    out_channels, before = width * _expansion(config), sum(blocks[: stage - 1])
    first, *rest = (
        slots_of(config, stage=stage, depth=(before + place) / sum(blocks)) for place in range(1, blocks[stage - 1] + 1)
    )
    changes_shape = stride != 1 or channels != out_channels
    downsample = _shortcut(config, channels, out_channels, stride, first) if changes_shape else None
    return nn.Sequential(
        _block(config, first, channels, width, stride=stride, downsample=downsample),
        *(_block(config, slots, out_channels, width) for slots in rest),
    )


def _shortcut(config: ResNetConfig, in_channels: int, out_channels: int, stride: int, slots: Slots) -> nn.Module:
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
