"""What our own image classifiers share: stages of features, a pooled mean, one linear layer.

Shapes: N images, C channels, H and W pixels, K classes.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trickbag.models.init import initialise
from trickbag.models.layers.drop import StochasticDepth
from trickbag.models.layers.slots import Slots

if TYPE_CHECKING:
    from trickbag.models.config import BigLittleConfig, ResNetConfig

__all__ = ["Classifier", "slots_of"]


class Classifier(nn.Module, ABC):
    """Base of our own networks; a subclass builds its stem and `layer1` to `layer4`, and calls `add_head` at the end.

    Its weights are torch's default ones until `initialise` or a file sets them: `build_network` gives an initialised
    one. With `num_classes` 0 it has no classifier and returns pooled features.
    """

    conv1: nn.Module
    bn1: nn.Module
    act1: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, config: ResNetConfig | BigLittleConfig) -> None:
        super().__init__()
        self.config = config

    def add_head(self, features: int) -> None:
        """Add the pool, the dropout and the linear layer on the `features` channels of the last stage."""
        self.num_features = features
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.head_drop = nn.Dropout(self.config.dropout) if self.config.dropout else nn.Identity()
        self.fc = _linear(features, self.config.num_classes)

    @property
    def num_classes(self) -> int:
        """The number of classes K; 0 where there is no classifier."""
        return self.config.num_classes

    @abstractmethod
    def forward_stem(self, images_NCHW: Tensor) -> Tensor:
        """Return what the first stage takes."""

    def forward_stages(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the feature maps at the end of the four stages, for detection and segmentation."""
        x = self.forward_stem(images_NCHW)
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features

    def forward_features(self, images_NCHW: Tensor) -> Tensor:
        """Return the feature map of the last stage, before pooling."""
        x = self.forward_stem(images_NCHW)
        features_NCHW: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features_NCHW

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits (N, K) of normalised images."""
        logits_NK: Tensor = self.fc(self.head_drop(self.global_pool(self.forward_features(images_NCHW))))
        return logits_NK

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer; the identity where there is none."""
        return self.fc

    def reset_classifier(self, num_classes: int, *, seed: int = 0) -> None:
        """Put a new classifier of `num_classes` in place of the present one, initialised as the config says."""
        reference = next(self.parameters())
        self.config = dataclasses.replace(self.config, num_classes=num_classes)
        self.fc = _linear(self.num_features, num_classes).to(reference.device, reference.dtype).train(self.training)
        initialise(self, self.config.init, seed, only=self.fc)

    @abstractmethod
    def body_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters between stem and classifier in groups from input to output."""

    def stem_parameters(self) -> list[nn.Parameter]:
        """List the parameters before the first stage."""
        return [*self.conv1.parameters(), *self.bn1.parameters()]

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """List all parameters in groups from input to output: the stem, the groups of the stages, the classifier."""
        head = list(self.fc.parameters())
        return [self.stem_parameters(), *self.body_groups(), *([head] if head else [])]


def slots_of(config: ResNetConfig | BigLittleConfig, *, stage: int = 0, depth: float = 0.0) -> Slots:
    """Return the slots of a config's stem, or of a block of stage 1 to 4.

    `depth` is the block's place in the network, from above 0 to 1 for the last one: stochastic depth drops in
    proportion to it (Huang et al. 2016, equation 4).
    """
    anti_alias, drop = config.anti_alias, config.drop
    places = () if anti_alias is None else anti_alias.places
    branch_drop_prob = config.stochastic_depth * depth
    return Slots(
        norm=config.norm,
        activation=config.activation,
        attention=config.attention,
        selective_kernel=config.selective_kernel,
        anti_alias=anti_alias if "branch" in places else None,
        shortcut_anti_alias=anti_alias if "shortcut" in places else None,
        drop=functools.partial(drop, stage) if drop is not None and stage and drop.scales[stage - 1] else None,
        branch_drop=functools.partial(StochasticDepth, branch_drop_prob) if branch_drop_prob else None,
    )


def _linear(features: int, num_classes: int) -> nn.Module:
    return nn.Linear(features, num_classes) if num_classes else nn.Identity()
