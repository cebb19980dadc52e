"""The base of this package's networks: levels of features, a pooled mean, one linear layer.

Shapes: N images, C channels, H and W pixels, K classes.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from torch import Tensor, nn

from trickbag.models.init import initialise
from trickbag.models.layers.blocks import Blocks
from trickbag.models.layers.drop import DropPath
from trickbag.models.layers.slots import Slots

if TYPE_CHECKING:
    from trickbag.models.config import OwnConfig

__all__ = ["Classifier", "Level", "slots_of"]


class Level(NamedTuple):
    """The part of a network that leads from one feature map to the next.

    `modules` are called one after the other; `name` is the name of the last. Its map has `channels`
    channels, and one of its pixels covers `reduction` x `reduction` pixels of the image.
    """

    name: str
    modules: tuple[nn.Module, ...]
    channels: int
    reduction: int


class Classifier(nn.Module, ABC):
    """Base of this package's networks: images (N, C, H, W) to logits (N, K).

    A subclass builds its levels in the constructor and calls `add_head` at the end. `head` is the
    name of its classifier. With `num_classes` 0 there is no classifier, and the network returns
    pooled features (N, `num_features`). The weights are torch's default ones; `build_network`
    returns a network with the initial values of its config.
    """

    head: ClassVar[str] = "fc"

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.config: OwnConfig = config

    def add_head(self, features: int) -> None:
        """Add pool, dropout and linear layer to the `features` channels of the last level."""
        self.num_features = features
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        self.head_drop = nn.Dropout(self.config.dropout) if self.config.dropout else nn.Identity()
        self.add_module(self.head, _linear(features, self.config.num_classes))

    @property
    def num_classes(self) -> int:
        """The number of classes K; 0 where there is no classifier."""
        return self.config.num_classes

    @abstractmethod
    def levels(self) -> tuple[Level, ...]:
        """List the levels from the images to the last feature map."""

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Module, channels and reduction of each level's map, in the form of timm's networks."""
        return [
            {"module": level.name, "num_chs": level.channels, "reduction": level.reduction}
            for level in self.levels()
        ]

    def forward_levels(self, images_NCHW: Tensor, levels: int | None = None) -> list[Tensor]:
        """Return the maps (N, C, H, W) of the first `levels` levels; of all if None."""
        x, maps = images_NCHW, []
        for level in self.levels()[:levels]:
            for module in level.modules:
                x = module(x)
            maps.append(x)
        return maps

    def forward_features(self, images_NCHW: Tensor) -> Tensor:
        """Return the map (N, C, H, W) of the last level, before pooling."""
        return self.forward_levels(images_NCHW)[-1]

    def forward_head(self, map_NCHW: Tensor) -> Tensor:
        """Return the logits (N, K) that follow from the map of the last level."""
        logits_NK: Tensor = self.get_classifier()(self.head_drop(self.global_pool(map_NCHW)))
        return logits_NK

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits (N, K) of normalised images."""
        return self.forward_head(self.forward_features(images_NCHW))

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer; an identity if there is none."""
        return self.get_submodule(self.head)

    def reset_classifier(self, num_classes: int, *, seed: int = 0) -> None:
        """Replace the classifier by one of `num_classes`, initialised by the config's scheme."""
        reference = next(self.parameters())
        self.config = dataclasses.replace(self.config, num_classes=num_classes)
        classifier = _linear(self.num_features, num_classes)
        self.add_module(
            self.head, classifier.to(reference.device, reference.dtype).train(self.training)
        )
        # Through the whole network: its stream goes by the name there, `fc.weight`. So a new
        # classifier has the values that it has in a new network.
        initialise(self, self.config.init, seed, only=classifier)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether the backward pass computes the blocks again, to save memory.

        This alone lets batch normalisation update its statistics twice for a batch;
        `models.gradient_checkpointing` prevents that.
        """
        for module in self.modules():
            if isinstance(module, Blocks):
                module.recompute = enable

    @abstractmethod
    def stem_parameters(self) -> list[nn.Parameter]:
        """List the parameters before the first block."""

    @abstractmethod
    def body_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters between stem and classifier, in groups from input to output."""

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """List all parameters in groups: stem, the groups of the body, classifier."""
        head = list(self.get_classifier().parameters())
        return [self.stem_parameters(), *self.body_groups(), *([head] if head else [])]


def slots_of(config: OwnConfig, *, stage: int = 0, depth: float = 0.0) -> Slots:
    """Return the slots of a config's stem (stage 0), or of a block of stage 1 to 4.

    `depth` is the block's position in the network: the share of the blocks up to and with it.
    Stochastic depth drops in proportion to it (Huang et al. 2016, equation 4).
    """
    anti_alias = config.anti_alias
    places = () if anti_alias is None else anti_alias.places
    # A MobileNet has neither residual branches nor a slot for selective kernels.
    selective_kernel = getattr(config, "selective_kernel", None)
    branch_drop_prob = getattr(config, "stochastic_depth", 0.0) * depth
    drop = None
    # The test of `stage` comes first: in the stem, `scales[-1]` would be that of stage 4.
    if config.drop is not None and stage and config.drop.scales[stage - 1]:
        drop = functools.partial(config.drop, stage)
    return Slots(
        norm=config.norm,
        activation=config.activation,
        attention=config.attention,
        selective_kernel=selective_kernel,
        anti_alias=anti_alias if "branch" in places else None,
        shortcut_anti_alias=anti_alias if "shortcut" in places else None,
        drop=drop,
        branch_drop=functools.partial(DropPath, branch_drop_prob) if branch_drop_prob else None,
    )


def _linear(features: int, num_classes: int) -> nn.Module:
    return nn.Linear(features, num_classes) if num_classes else nn.Identity()
