"""Big-Little networks, built slot by slot from a `BigLittleConfig`.

With its slots filled as Lee et al. do, such a network is Assemble-ResNet. Sources: Chen et al. 2019
(arXiv 1807.03848), section 4.1; Lee et al. 2020 (arXiv 2001.06268), section 3, and its code.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from torch import nn

from trickbag.models.classifier import Classifier, Level, slots_of
from trickbag.models.layers.big_little import BigLittleStage, BigLittleStem
from trickbag.models.layers.blocks import Blocks, Bottleneck
from trickbag.models.layers.selective_blocks import SelectiveBottleneck
from trickbag.models.layers.shortcut import padded_pool_shortcut, tensorflow_pool_shortcut
from trickbag.models.layers.stem import STEMS, stem_convolution
from trickbag.models.rounding import round_channels, round_repeats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.models.config import BigLittleConfig
    from trickbag.models.layers.slots import Slots

__all__ = ["BigLittle"]

# Tables of the original code: those of 101 and 152 are not the plain ResNet's.
_BLOCKS_PER_STAGE: Mapping[int, tuple[int, int, int, int]] = MappingProxyType(
    {50: (3, 4, 6, 3), 101: (4, 8, 18, 3), 152: (5, 12, 30, 3)}
)
_STEM_CHANNELS = 64
_EXPANSION = Bottleneck.expansion


class BigLittle(Classifier):
    """A Big-Little network: images (N, C, H, W) of any size from 8 px to logits (N, K).

    `BigLittleConfig` says what its slots are. Its stages end at 1/8, 1/16, 1/16 and 1/32 of the
    image's size; with a stem for small images the maps are two or four times as large.
    """

    config: BigLittleConfig
    layer1: BigLittleStage
    layer2: BigLittleStage
    layer3: BigLittleStage
    layer4: Blocks

    def __init__(self, config: BigLittleConfig) -> None:
        super().__init__(config)
        slots, stem = slots_of(config), round_channels(_STEM_CHANNELS, config.width_factor)
        self.conv1 = stem_convolution(config.stem, config.in_channels, stem, slots)
        self.bn1 = config.norm(stem)
        self.act1 = config.activation()
        self.stem_fusion = BigLittleStem(
            stem, alpha=config.alpha, stride=STEMS[config.stem].pool_stride, slots=slots
        )
        widths = config.widths
        self.layer1 = _stage(config, 1, stem, stride=2)
        self.layer2 = _stage(config, 2, widths[0] * _EXPANSION, stride=2)
        self.layer3 = _stage(config, 3, widths[1] * _EXPANSION, stride=1)
        self.layer4 = _blocks(
            config,
            _slots(config, 4),
            widths[2] * _EXPANSION,
            widths[3],
            stride=2,
            pool=config.last_pool,
        )
        self.add_head(widths[3] * _EXPANSION)

    def levels(self) -> tuple[Level, ...]:
        """List the stem up to its activation, its branches, stage 1, stages 2 and 3, and stage 4.

        Stages 2 and 3 are one level, as their maps have the same size.
        """
        stem, widths = STEMS[self.config.stem], self.config.widths
        channels = round_channels(_STEM_CHANNELS, self.config.width_factor)
        fused = stem.stride * stem.pool_stride
        return (
            Level("act1", (self.conv1, self.bn1, self.act1), channels, stem.stride),
            Level("stem_fusion", (self.stem_fusion,), channels, fused),
            Level("layer1", (self.layer1,), widths[0] * _EXPANSION, 2 * fused),
            Level("layer3", (self.layer2, self.layer3), widths[2] * _EXPANSION, 4 * fused),
            Level("layer4", (self.layer4,), widths[3] * _EXPANSION, 8 * fused),
        )

    def stem_parameters(self) -> list[nn.Parameter]:
        """List the parameters before the first stage."""
        return [*self.conv1.parameters(), *self.bn1.parameters(), *self.stem_fusion.parameters()]

    def body_groups(self) -> list[list[nn.Parameter]]:
        """List those of each pair of branches, of the block after it, of each block of stage 4."""
        groups = []
        for stage in (self.layer1, self.layer2, self.layer3):
            branches = (stage.big, stage.little, stage.expand)
            groups += [
                [p for branch in branches for p in branch.parameters()],
                list(stage.fusion.parameters()),
            ]
        return groups + [list(block.parameters()) for block in self.layer4]


def _stage(config: BigLittleConfig, stage: int, channels: int, *, stride: int) -> BigLittleStage:
    """Build stage 1 to 3: two branches, and a block after their sum, which has the stride.

    The big branch shrinks its input to half. Big branch and last block together have as many blocks
    as the stage of the plain network, but at least two.
    """
    width, slots = config.widths[stage - 1], slots_of(config)
    thin, out_channels = width // config.alpha, width * _EXPANSION
    # Both branches begin at the same depth, so that stochastic depth drops blocks at the same
    # position with the same probability.
    block_slots = _slots(config, stage)
    big_slots, fusion_slots = block_slots[: max(1, len(block_slots) - 1)], block_slots[-1]
    little_slots = big_slots[: max(1, len(block_slots) // config.beta - 1)]
    big = _blocks(config, big_slots, channels, width, stride=2, last_activation=False)
    little = _blocks(config, little_slots, channels, thin, stride=1)
    fusion = _blocks(config, [fusion_slots], out_channels, width, stride=stride)
    return BigLittleStage(
        big, little, fusion, little_channels=thin * _EXPANSION, channels=out_channels, slots=slots
    )


def _slots(config: BigLittleConfig, stage: int) -> list[Slots]:
    """Return the slots of each block of stage 1 to 4 of the plain network."""
    blocks = [
        round_repeats(number, config.depth_factor) for number in _BLOCKS_PER_STAGE[config.depth]
    ]
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
    pool: Literal["padded", "resnet_d"] = "padded",
) -> Blocks:
    """Build a row of bottlenecks, one for each of `slots`.

    The first has the stride and takes `channels` channels. Without `last_activation` the last one
    ends with its addition, unless it is the only one, as in the original code.
    """
    bottleneck = Bottleneck if config.selective_kernel is None else SelectiveBottleneck
    out_channels = width * _EXPANSION
    first_slots, *rest_slots = slots
    first = bottleneck(
        channels,
        width,
        stride=stride,
        downsample=_shortcut(config, channels, out_channels, stride, first_slots, pool),
        slots=first_slots,
    )
    rest = (
        bottleneck(
            out_channels,
            width,
            last_activation=last_activation or block < len(rest_slots),
            slots=block_slots,
        )
        for block, block_slots in enumerate(rest_slots, start=1)
    )
    return Blocks(first, *rest)


def _shortcut(
    config: BigLittleConfig,
    in_channels: int,
    out_channels: int,
    stride: int,
    slots: Slots,
    pool: Literal["padded", "resnet_d"],
) -> nn.Module | None:
    if config.projection == "always" or in_channels != out_channels:
        build = padded_pool_shortcut if pool == "padded" else tensorflow_pool_shortcut
        return build(in_channels, out_channels, stride, slots)
    if stride == 1:
        return None
    if slots.shortcut_anti_alias is not None:
        return slots.shortcut_anti_alias(in_channels, stride)
    return nn.AvgPool2d(3, stride, padding=1)
