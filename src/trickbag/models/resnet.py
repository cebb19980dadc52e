"""Our own ResNet, built slot by slot from a `ResNetConfig`; its parameters are named as timm names them.

Sources: He et al. 2015 (arXiv 1512.03385), table 1; He et al. 2018 (arXiv 1812.01187), section 4.
Shapes: N images, C channels, H and W pixels, K classes.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trickbag.models.init import initialise
from trickbag.models.layers.blocks import BasicBlock, Bottleneck
from trickbag.models.layers.shortcut import avg_pool_shortcut, conv_shortcut
from trickbag.models.layers.slots import Slots
from trickbag.models.layers.stem import STEM_CHANNELS, stem_convolution, stem_pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.models.config import ResNetConfig

__all__ = ["ResNet"]

_BLOCKS_PER_STAGE: Mapping[int, tuple[int, int, int, int]] = MappingProxyType(
    {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
)
_STAGE_WIDTHS = (64, 128, 256, 512)
_SHORTCUTS = MappingProxyType({"conv": conv_shortcut, "avg_pool": avg_pool_shortcut})


class ResNet(nn.Module):
    """A residual network for images of any size from 8 px; see `ResNetConfig` for its slots.

    Its weights are torch's default ones until `initialise` or a file sets them: `build_network` gives an initialised
    one. With `num_classes` 0 it has no classifier and returns pooled features.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        slots = Slots(
            norm=config.norm,
            activation=config.activation,
            attention=config.attention,
            anti_alias=config.anti_alias,
            drop=config.drop,
        )
        self.conv1 = stem_convolution(config.stem, config.in_channels, slots)
        self.bn1 = config.norm(STEM_CHANNELS)
        self.act1 = config.activation()
        self.maxpool = stem_pool(config.stem)
        widths, blocks = _STAGE_WIDTHS, _BLOCKS_PER_STAGE[config.depth]
        expansion = _expansion(config)
        self.layer1 = _stage(config, slots, STEM_CHANNELS, widths[0], blocks[0], stride=1)
        self.layer2 = _stage(config, slots, widths[0] * expansion, widths[1], blocks[1], stride=2)
        self.layer3 = _stage(config, slots, widths[1] * expansion, widths[2], blocks[2], stride=2)
        self.layer4 = _stage(config, slots, widths[2] * expansion, widths[3], blocks[3], stride=2)
        self.num_features = widths[3] * expansion
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.fc = _classifier(self.num_features, config.num_classes)

    @property
    def num_classes(self) -> int:
        """The number of classes K; 0 where there is no classifier."""
        return self.config.num_classes

    def forward_features(self, images_NCHW: Tensor) -> Tensor:
        """Return the feature map of the last stage, before pooling."""
        x: Tensor = self.maxpool(self.act1(self.bn1(self.conv1(images_NCHW))))
        features_NCHW: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features_NCHW

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits (N, K) of normalised images."""
        logits_NK: Tensor = self.fc(self.global_pool(self.forward_features(images_NCHW)))
        return logits_NK

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer; the identity where there is none."""
        return self.fc

    def reset_classifier(self, num_classes: int, *, seed: int = 0) -> None:
        """Put a new classifier of `num_classes` in place of the present one, initialised as the config says."""
        reference = next(self.parameters())
        self.config = dataclasses.replace(self.config, num_classes=num_classes)
        self.fc = _classifier(self.num_features, num_classes).to(reference.device, reference.dtype).train(self.training)
        initialise(self, self.config.init, seed, only=self.fc)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """List all parameters in groups from input to output: the stem, each block, the classifier."""
        stem = [*self.conv1.parameters(), *self.bn1.parameters()]
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        blocks = [list(block.parameters()) for stage in stages for block in stage]
        head = list(self.fc.parameters())
        return [stem, *blocks, *([head] if head else [])]


def _expansion(config: ResNetConfig) -> int:
    return BasicBlock.expansion if config.block == "basic" else Bottleneck.expansion


def _stage(config: ResNetConfig, slots: Slots, channels: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    """Build the blocks of one stage, the first of which has the stride and takes `channels` channels."""
    out_channels = width * _expansion(config)
    changes_shape = stride != 1 or channels != out_channels
    downsample = _SHORTCUTS[config.shortcut](channels, out_channels, stride, slots) if changes_shape else None
    first = _block(config, slots, channels, width, stride=stride, downsample=downsample)
    return nn.Sequential(first, *(_block(config, slots, out_channels, width) for _ in range(blocks - 1)))


def _block(
    config: ResNetConfig,
    slots: Slots,
    channels: int,
    width: int,
    *,
    stride: int = 1,
    downsample: nn.Module | None = None,
) -> nn.Module:
    if config.block == "basic":
        return BasicBlock(channels, width, stride=stride, downsample=downsample, slots=slots)
    where = config.branch_stride
    return Bottleneck(channels, width, stride=stride, branch_stride=where, downsample=downsample, slots=slots)


def _classifier(features: int, num_classes: int) -> nn.Module:
    return nn.Linear(features, num_classes) if num_classes else nn.Identity()
