"""Networks as plain data: which network a name means, and every slot of our own ResNets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.settings import AtLeast, Between, Positive, Settings, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

__all__ = [
    "DEEP_STEMS",
    "BatchNorm",
    "ModelConfig",
    "Relu",
    "ResNetConfig",
    "Stem",
    "TimmConfig",
    "model_config",
    "model_names",
    "read_model",
]

Stem = Literal["imagenet", "deep", "small_s1", "small_s2", "deep_s1", "deep_s2"]

DEEP_STEMS: Mapping[Stem, Stem] = MappingProxyType({"imagenet": "deep", "small_s1": "deep_s1", "small_s2": "deep_s2"})
"""The deep form (three 3x3 convolutions, ResNet-C) of each plain stem, at the same stride."""


@dataclass(frozen=True, kw_only=True)
class Relu(Settings):
    """The activation `max(x, 0)`."""

    kind: ClassVar[str] = "relu"

    def __call__(self) -> nn.Module:
        """Build the layer; it overwrites its input, which nothing in a block needs again."""
        from torch import nn

        return nn.ReLU(inplace=True)


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Settings):
    """Batch normalisation; `momentum` is torch's (the weight of the new batch): 0.1 is MXNet's 0.9."""

    kind: ClassVar[str] = "batch_norm"
    eps: Annotated[float, Positive] = 1e-5
    momentum: Annotated[float, Between(0, 1, open_low=True)] = 0.1

    def __call__(self, channels: int) -> nn.Module:
        """Build the layer for feature maps of `channels` channels."""
        from torch import nn

        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(Settings):
    """A ResNet of our own, slot by slot (He et al. 2018, arXiv 1812.01187, section 4).

    `stem`: `imagenet` is 7x7 stride 2, `deep` three 3x3 (32, 32, 64 channels, the first of stride 2), both before a
    3x3 max-pool of stride 2; `small_sN` is one 3x3 of stride N and `deep_sN` three of them, both without max-pool.
    `small_stem`: whether a run takes the small form of the stem that suits its image size (`auto`); a network that is
    made by its config alone has the stem that `stem` says.
    `branch_stride`: the convolution of a bottleneck's residual branch that moves by the block's stride, `first` (the
    original, "A") or `middle` ("B"); basic blocks have it on their first. `shortcut`: where a block changes shape, a
    1x1 convolution with the stride (`conv`) or a 2x2 average pool before one without ("D", `avg_pool`).
    `num_classes` 0 is taken from the data. `init`: of the weights, see `models.init`.
    """

    kind: ClassVar[str] = "resnet"
    depth: Literal[18, 34, 50, 101, 152] = 50
    stem: Stem = "imagenet"
    small_stem: Literal["never", "auto"] = "never"
    branch_stride: Literal["first", "middle"] = "middle"
    shortcut: Literal["conv", "avg_pool"] = "conv"
    attention: None = None
    activation: Relu = Relu()
    norm: BatchNorm = BatchNorm()
    anti_alias: None = None
    drop: None = None
    num_classes: Annotated[int, AtLeast(0)] = 0
    in_channels: Annotated[int, AtLeast(1)] = 3
    init: Literal["xavier", "msra", "msra_prelu"] = "xavier"

    @property
    def block(self) -> Literal["basic", "bottleneck"]:
        """The kind of block that this depth is made of."""
        return "basic" if self.depth < 50 else "bottleneck"


@dataclass(frozen=True, kw_only=True)
class TimmConfig(Settings):
    """Any network of the timm library, by its timm name; it keeps timm's own initialisation."""

    kind: ClassVar[str] = "timm"
    name: str = "resnet50"
    num_classes: Annotated[int, AtLeast(0)] = 0
    in_channels: Annotated[int, AtLeast(1)] = 3


ModelConfig = ResNetConfig | TimmConfig

_VARIANTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "": {"stem": "imagenet", "branch_stride": "middle", "shortcut": "conv"},
        "_a": {"stem": "imagenet", "branch_stride": "first", "shortcut": "conv"},
        "_b": {"stem": "imagenet", "branch_stride": "middle", "shortcut": "conv"},
        "_c": {"stem": "deep", "branch_stride": "middle", "shortcut": "conv"},
        "_d": {"stem": "deep", "branch_stride": "middle", "shortcut": "avg_pool"},
    }
)
_DEPTHS = (18, 34, 50, 101, 152)


def model_names() -> list[str]:
    """List the networks that `create_model` knows by name; any of timm's is `timm:NAME` besides."""
    return [f"resnet{depth}{variant}" for depth in _DEPTHS for variant in _VARIANTS]


def model_config(name: str) -> ModelConfig:
    """Return the config of a network's name: `resnet50_d`, or `timm:mobilenetv3_small_100`.

    Raises UserError for a name that is not known; timm's names are checked when the network is built.
    """
    if name.startswith("timm:") and len(name) > len("timm:"):
        return TimmConfig(name=name.removeprefix("timm:"))
    match = re.fullmatch(r"resnet(\d+)(|_[abcd])", name)
    if not match or int(match[1]) not in _DEPTHS:
        raise UserError(f"no model {name!r}; there are {', '.join(model_names())}, and timm:NAME for any of timm's")
    return read(ResNetConfig, {"depth": int(match[1]), **_VARIANTS[match[2]]}, "model")


def read_model(data: object) -> ModelConfig:
    """Build a network's config from plain data, or from a network's name.

    Raises UserError for a kind or a setting that does not exist, a wrong type or a value out of range.
    """
    if isinstance(data, str):
        return model_config(data)
    if not isinstance(data, dict):
        raise UserError(f"model = {data!r}: must be a model's name, or a mapping with kind resnet or timm")
    kind = data.get("kind", ResNetConfig.kind)
    if kind == ResNetConfig.kind:
        return read(ResNetConfig, data, "model")
    if kind == TimmConfig.kind:
        return read(TimmConfig, data, "model")
    raise UserError(f"model.kind = {kind!r}: must be one of {ResNetConfig.kind}, {TimmConfig.kind}")
