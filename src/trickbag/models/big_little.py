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
    from collections.abc import Mapping, Sequence

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
        widths = _STAGE_WIDTHS
        self.layer1 = _stage(config, 1, STEM_CHANNELS, stride=2)
        self.layer2 = _stage(config, 2, widths[0] * _EXPANSION, stride=2)
        self.layer3 = _stage(config, 3, widths[1] * _EXPANSION, stride=1)
        self.layer4 = _blocks(config, _slots(config, 4), widths[2] * _EXPANSION, widths[3], stride=2)
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


def _stage(config: BigLittleConfig, stage: int, channels: int, *, stride: int) -> BigLittleStage:
    """Build stage 1 to 3, of two branches and the block after their merge, which has the stride.

    The big branch has one of 2 before. Big branch and fusion together are as long as the stage of the plain network.
    """
    width, slots = _STAGE_WIDTHS[stage - 1], slots_of(config)
    thin, out_channels = width // config.alpha, width * _EXPANSION
    *in_big, in_fusion = of_blocks = _slots(config, stage)
    in_little = in_big[: max(1, len(of_blocks) // config.beta - 1)]
    big = _blocks(config, in_big, channels, width, stride=2, last_activation=False)
    little = _blocks(config, in_little, channels, thin, stride=1)
    fusion = _blocks(config, [in_fusion], out_channels, width, stride=stride)
    return BigLittleStage(big, little, fusion, little_channels=thin * _EXPANSION, channels=out_channels, slots=slots)


def _slots(config: BigLittleConfig, stage: int) -> list[Slots]:
    """Give the slots of each block of stage 1 to 4 of the plain network."""
    blocks = _BLOCKS_PER_STAGE[config.depth]
    before = sum(blocks[: stage - 1])
    places = range(before + 1, before + blocks[stage - 1] + 1)
    return [slots_of(config, stage=stage, depth=place / sum(blocks)) for place in places]


def _blocks(
    config: BigLittleConfig,
    slots: Sequence[Slots],
    channels: int,
    width: int,
    *,
    stride: int,
    last_activation: bool = True,
) -> nn.Sequential:
    """Build a row of bottlenecks, one for each of `slots`; the first has the stride and takes `channels` channels."""
    bottleneck = Bottleneck if config.selective_kernel is None else SelectiveBottleneck
    out_channels = width * _EXPANSION
    of_first, *of_rest = slots
    first = bottleneck(
        channels,
        width,
        stride=stride,
        downsample=_shortcut(config, channels, out_channels, stride, of_first),
        last_activation=last_activation or not of_rest,
        slots=of_first,
    )
    rest = (
        bottleneck(out_channels, width, last_activation=last_activation or place < len(of_rest), slots=one)
        for place, one in enumerate(of_rest, start=1)
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
