"""The thinnest member of each kind of network, for the contract tests of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from trickbag.models.config import (
    BigLittleConfig,
    MobileNetConfig,
    ModelConfig,
    OwnConfig,
    ResNetConfig,
    TimmConfig,
    model_config,
)
from trickbag.models.parts import (
    AssembleKernel,
    AveragePool,
    Blur,
    DropBlockPart,
    OriginalKernel,
    Relu6,
    Silu,
    SplitKernel,
    SqueezeExcitePart,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["THINNEST", "Member", "family_of"]


class Member(NamedTuple):
    """A network, and an odd image size that it takes."""

    config: ModelConfig
    size: int = 45


def _bottlenecks(**settings: Any) -> Member:
    """A ResNet of six bottlenecks."""
    thin: dict[str, Any] = {"depth_factor": 0.3, "width_factor": 0.125}
    return Member(ResNetConfig(**thin | settings))


def _grouped(**settings: Any) -> Member:
    return _bottlenecks(cardinality=32, base_width=4, width_factor=0.25, **settings)


def _big_little(**settings: Any) -> Member:
    return Member(BigLittleConfig(depth_factor=0.3, width_factor=0.125, **settings))


THINNEST: dict[str, Member] = {
    "basic blocks": Member(ResNetConfig(depth=18, width_factor=0.125, activation=Silu())),
    "bottlenecks": _bottlenecks(
        stem="deep", shortcut="avg_pool", drop=DropBlockPart(), stochastic_depth=0.2, dropout=0.1
    ),
    "original bottlenecks": _bottlenecks(
        branch_stride="first", pooling="tensorflow", shortcut="avg_pool"
    ),
    "resnext": _grouped(stem="deep_s2"),
    "se": _bottlenecks(attention=SqueezeExcitePart(), last_stride=1),
    "se resnext": _grouped(attention=SqueezeExcitePart(bias=False, divisor=1)),
    "sk": _bottlenecks(selective_kernel=SplitKernel()),
    "sk assemble": _bottlenecks(selective_kernel=AssembleKernel()),
    "sk resnext": _grouped(selective_kernel=OriginalKernel()),
    "sk basic blocks": Member(
        ResNetConfig(depth=18, width_factor=0.125, selective_kernel=OriginalKernel())
    ),
    "blur": _bottlenecks(anti_alias=Blur(size=4, places=("branch", "shortcut", "stem"))),
    "average pool": _bottlenecks(anti_alias=AveragePool(), stem="deep", shortcut="avg_pool"),
    "big-little": _big_little(stem="small_s2", projection="where_needed"),
    "assemble": _big_little(
        selective_kernel=AssembleKernel(), anti_alias=Blur(), drop=DropBlockPart()
    ),
    "mobilenet": Member(MobileNetConfig(width_factor=0.25, stem="small_s1", activation=Relu6())),
    "se mobilenet": Member(
        MobileNetConfig(width_factor=0.25, attention=SqueezeExcitePart(), drop=DropBlockPart())
    ),
    # timm has no thinner ones.
    "densenet": Member(TimmConfig(name="densenet121")),
    "inception": Member(TimmConfig(name="inception_v3"), size=97),
    "efficientnet": Member(model_config("efficientnet_b0")),
}


def family_of(config: ModelConfig) -> Hashable:
    """Return what tells kinds of networks apart: kind, blocks, and the parts in their slots."""
    if isinstance(config, OwnConfig):
        kernel = getattr(config, "selective_kernel", None)
        return (
            config.kind,
            getattr(config, "block", None),
            getattr(config, "cardinality", 1) > 1,
            config.attention is not None,
            kernel and kernel.kind,
            config.anti_alias and config.anti_alias.kind,
        )
    from timm.models import model_entrypoint

    return ("timm", model_entrypoint(config.name).__module__)
