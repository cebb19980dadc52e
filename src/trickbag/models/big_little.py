"""Our own Big-Little networks, built slot by slot from a `BigLittleConfig`; with every slot filled, Assemble-ResNet.

Sources: Chen et al. 2019 (arXiv 1807.03848), section 4.1; Lee et al. 2020 (arXiv 2001.06268), section 3, and its code.
Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trickbag.models.classifier import Classifier, slots_of
from trickbag.models.layers.big_little import BigLittleStage, BigLittleStem
from trickbag.models.layers.blocks import Bottleneck
from trickbag.models.layers.selective_blocks import SelectiveBottleneck
from trickbag.models.layers.shortcut import padded_pool_shortcut
from trickbag.models.layers.stem import STEM_CHANNELS, STEMS, stem_convolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.models.config import BigLittleConfig
    from trickbag.models.layers.slots import Slots

__all__ = ["BigLittle"]

_BLOCKS_PER_STAGE: Mapping[int, tuple[int, int, int, int]] = MappingProxyType(
    {50: (3, 4, 6, 3), 101: (4, 8, 18, 3), 152: (5, 12, 30, 3)}
)
_STAGE_WIDTHS = (64, 128, 256, 512)
_EXPANSION = Bottleneck.expansion


class BigLittle(Classifier):
    """A Big-Little network for images of any size from 8 px; see `BigLittleConfig` for its slots.

    Its feature maps are at 1/8, 1/16, 1/16 and 1/32 of the image; `forward_stages` gives the stem's, at 1/4, and the
    last three.
    """

    config: BigLittleConfig
    layer1: BigLittleStage
    layer2: BigLittleStage
    layer3: BigLittleStage
    layer4: nn.Sequential

    def __init__(self, config: BigLittleConfig) -> None:
        super().__init__(config)
        slots = slots_of(config)
        self.conv1 = stem_convolution(config.stem, config.in_channels, slots)
        self.bn1 = config.norm(STEM_CHANNELS)
        self.act1 = config.activation()
        stride = 2 if STEMS[config.stem].max_pool else 1
        self.stem_fusion = BigLittleStem(STEM_CHANNELS, alpha=config.alpha, stride=stride, slots=slots)
        widths, blocks = _STAGE_WIDTHS, _BLOCKS_PER_STAGE[config.depth]
        self.layer1 = _stage(config, slots, STEM_CHANNELS, widths[0], blocks[0], stride=2)
        self.layer2 = _stage(config, slots, widths[0] * _EXPANSION, widths[1], blocks[1], stride=2)
        self.layer3 = _stage(config, slots, widths[1] * _EXPANSION, widths[2], blocks[2], stride=1)
        self.layer4 = _blocks(config, slots, widths[2] * _EXPANSION, widths[3], blocks[3], stride=2)
        self.add_head(widths[3] * _EXPANSION)

    def forward_stem(self, images_NCHW: Tensor) -> Tensor:
        """Return the fused features of the stem."""
        x: Tensor = self.stem_fusion(self.act1(self.bn1(self.conv1(images_NCHW))))
        return x

    def forward_stages(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the feature maps of the stem, the first stage and the last two: each at half of the one before."""
        stem = self.forward_stem(images_NCHW)
        first = self.layer1(stem)
        third = self.layer3(self.layer2(first))
        return [stem, first, third, self.layer4(third)]

    def stem_parameters(self) -> list[nn.Parameter]:
        """List the parameters before the first stage."""
        return [*super().stem_parameters(), *self.stem_fusion.parameters()]

    def body_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters of each pair of branches, of the block after it, and of each block of the last stage."""
        groups = []
        for stage in (self.layer1, self.layer2, self.layer3):
            branches = (stage.big, stage.little, stage.expand)
            groups += [[p for branch in branches for p in branch.parameters()], list(stage.fusion.parameters())]
        return groups + [list(block.parameters()) for block in self.layer4]


def _stage(
    config: BigLittleConfig, slots: Slots, channels: int, width: int, blocks: int, *, stride: int
) -> BigLittleStage:
    """Build a stage of two branches for a network whose plain form has `blocks` blocks there.

    The stride is that of the block after the merge; the big branch has one of 2 before.
    """
    thin = width // config.alpha
    out_channels = width * _EXPANSION
    big = _blocks(config, slots, channels, width, blocks - 1, stride=2, last_activation=False)
    little = _blocks(config, slots, channels, thin, max(1, blocks // config.beta - 1), stride=1)
    fusion = _blocks(config, slots, out_channels, width, 1, stride=stride)
    return BigLittleStage(big, little, fusion, little_channels=thin * _EXPANSION, channels=out_channels, slots=slots)


def _blocks(
    config: BigLittleConfig,
    slots: Slots,
    channels: int,
    width: int,
    blocks: int,
    *,
    stride: int,
    last_activation: bool = True,
) -> nn.Sequential:
    """Build a row of bottlenecks, the first of which has the stride and takes `channels` channels."""
    bottleneck = Bottleneck if slots.selective_kernel is None else SelectiveBottleneck
    out_channels = width * _EXPANSION
    first = bottleneck(
        channels,
        width,
        stride=stride,
        downsample=_shortcut(config, channels, out_channels, stride, slots),
        last_activation=last_activation or blocks > 1,
        slots=slots,
    )
    rest = (
        bottleneck(out_channels, width, last_activation=last_activation or place < blocks - 1, slots=slots)
        for place in range(1, blocks)
    )
    return nn.Sequential(first, *rest)


def _shortcut(
    config: BigLittleConfig, in_channels: int, out_channels: int, stride: int, slots: Slots
) -> nn.Module | None:
    if config.projection == "always" or in_channels != out_channels:
        return padded_pool_shortcut(in_channels, out_channels, stride, slots)
    if stride == 1:
        return None
    pool = slots.shortcut_anti_alias
    return nn.AvgPool2d(3, stride, padding=1) if pool is None else pool(in_channels, stride)
