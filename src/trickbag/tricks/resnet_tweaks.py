"""ResNet-B, -C and -D: three small changes to a ResNet; each includes the one before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from trickbag.errors import DoesNotApply
from trickbag.models.config import DEEP_STEMS, ResNetConfig
from trickbag.models.summary import display_name
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["ResNetB", "ResNetC", "ResNetD", "to_b", "to_c", "to_d"]


def to_b(model: ModelConfig) -> ResNetConfig:
    """Return the network with the stride of a bottleneck on its 3x3 convolution, not the first 1x1.

    A 1x1 convolution with stride 2 ignores three quarters of its input. Raises DoesNotApply for
    basic blocks, whose first convolution is a 3x3, and for networks of other packages. Source: He
    et al. 2018, section 4.2, "ResNet-B".
    """
    resnet = _resnet(model, "b")
    if resnet.block == "basic":
        raise DoesNotApply(
            "resnet_b moves the stride of a bottleneck; a ResNet of depth "
            f"{resnet.depth} has basic blocks",
            "Use resnet_c, resnet_d, or a depth of 50 or more",
        )
    return replace(resnet, branch_stride="middle")


def to_c(model: ModelConfig) -> ResNetConfig:
    """Return ResNet-B with a stem of three 3x3 convolutions (32, 32 and 64 channels).

    The stem keeps its stride, also the smaller one for small images. A network of basic blocks gets
    the stem alone. Raises DoesNotApply for networks of other packages. Source: He et al. 2018,
    section 4.2, "ResNet-C".
    """
    resnet = _resnet(model, "c")
    deep = replace(resnet, stem=DEEP_STEMS.get(resnet.stem, resnet.stem))
    return deep if resnet.block == "basic" else to_b(deep)


def to_d(model: ModelConfig) -> ResNetConfig:
    """Return ResNet-C with a 2x2 average pool before the 1x1 convolution of its shortcuts.

    The convolution has no stride then, so that the shortcut also uses all of its input. Raises
    DoesNotApply for networks of other packages. Source: He et al. 2018, section 4.2, "ResNet-D".
    """
    return replace(to_c(_resnet(model, "d")), shortcut="avg_pool")


def _resnet(model: ModelConfig, tweak: str) -> ResNetConfig:
    if isinstance(model, ResNetConfig):
        return model
    raise DoesNotApply(
        f"resnet_{tweak} changes the slots of this package's ResNets; {display_name(model)} has "
        "none",
        f"Use a resnetN (resnet50), or take it out: --without resnet_{tweak}",
    )


def _require_change(old: ModelConfig, new: ResNetConfig, name: str) -> ResNetConfig:
    if old == new:
        raise NoEffect(f"the network already has all of {name}")
    return new


@dataclass(frozen=True, kw_only=True)
class ResNetB(Trick):
    """Turn the ResNet into ResNet-B: the 3x3 convolution of a bottleneck has its stride."""

    name: ClassVar[str] = "resnet_b"
    slot: ClassVar[str] = "resnet"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 4.2"

    def model(self, model: ModelConfig) -> ModelConfig:
        """Move the stride."""
        return _require_change(model, to_b(model), self.name)


@dataclass(frozen=True, kw_only=True)
class ResNetC(Trick):
    """Turn the ResNet into ResNet-C: ResNet-B with a stem of three 3x3 convolutions."""

    name: ClassVar[str] = "resnet_c"
    slot: ClassVar[str] = "resnet"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 4.2"

    def model(self, model: ModelConfig) -> ModelConfig:
        """Move the stride and deepen the stem."""
        return _require_change(model, to_c(model), self.name)


@dataclass(frozen=True, kw_only=True)
class ResNetD(Trick):
    """Turn the ResNet into ResNet-D: ResNet-C with an average pool in downsampling shortcuts."""

    name: ClassVar[str] = "resnet_d"
    slot: ClassVar[str] = "resnet"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 4.2"

    def model(self, model: ModelConfig) -> ModelConfig:
        """Move the stride, deepen the stem and pool in the shortcuts."""
        return _require_change(model, to_d(model), self.name)
