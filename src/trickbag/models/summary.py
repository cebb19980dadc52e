"""What a network is made of, in a few words for lists and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.data.size import size_text
from trickbag.models.config import BigLittleConfig, MobileNetConfig, ResNetConfig, TimmConfig
from trickbag.models.parts import Relu, SqueezeExcitePart

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig, OwnConfig
    from trickbag.models.parts import AntiAlias

__all__ = ["display_name", "summary"]


def display_name(config: ModelConfig) -> str:
    """Return the name of a network for a message: `timm:convnext_tiny`, `resnet50`."""
    if isinstance(config, ResNetConfig):
        return f"resnet{config.depth}"
    return config.kind if isinstance(config, MobileNetConfig) else f"{config.kind}:{config.name}"


def summary(config: ModelConfig) -> str:
    """Return what a network is made of, in a few words."""
    if isinstance(config, TimmConfig):
        return ", ".join([f"timm's {config.name}", *_timm_parts(config), *_dropped(config)])
    if isinstance(config, MobileNetConfig):
        stem = "3x3 stem" if config.stem == "imagenet" else f"stem {config.stem}"
        words = ["MobileNet v1", "depthwise separable blocks", stem]
    elif isinstance(config, BigLittleConfig):
        words = _big_little_words(config)
    else:
        words = _resnet_words(config)
    return ", ".join([*words, *_scaled(config), *_filled(config)])


def _stem_words(stem: str) -> str:
    words = {"imagenet": "7x7 stem", "deep": "deep stem (three 3x3)"}
    return words.get(stem, f"stem {stem}")


def _big_little_words(config: BigLittleConfig) -> list[str]:
    words = [
        f"Big-Little ResNet-{config.depth}",
        f"bottleneck blocks, alpha {config.alpha}, beta {config.beta}",
        _stem_words(config.stem),
    ]
    if config.projection == "where_needed":
        words.append("projections where needed")
    if config.last_pool == "resnet_d":
        words.append("the last shortcut's pool of ResNet-D")
    return words


def _resnet_words(config: ResNetConfig) -> list[str]:
    grouped = (config.cardinality, config.base_width) != (1, 64)
    groups = f"{config.cardinality}x{config.base_width}d " if grouped else ""
    words = [
        f"ResNet-{config.depth}",
        f"{groups}{config.block} blocks",
        _stem_words(config.stem),
    ]
    if config.block == "bottleneck":
        words.append(f"stride in the {'3x3' if config.branch_stride == 'middle' else '1x1'}")
    if config.shortcut == "avg_pool":
        words.append("average-pool shortcut")
    if config.last_stride == 1:
        words.append("last stage of stride 1")
    if config.pooling == "tensorflow":
        words.append("TensorFlow's pools")
    return words


def _scaled(config: OwnConfig) -> list[str]:
    """Name the factors of depth and width that are not 1."""
    factors = {"depth": config.depth_factor, "width": config.width_factor}
    return [f"{factor:.4g} times the {name}" for name, factor in factors.items() if factor != 1]


def _timm_parts(config: TimmConfig) -> list[str]:
    """Name the parts that a config puts into a network of timm."""
    words = []
    if config.attention is not None:
        words.append("squeeze-excitation")
    if config.anti_alias is not None:
        words.append(_anti_alias_words(config.anti_alias))
    if config.activation is not None:
        words.append(config.activation.kind)
    if config.norm is not None:
        eps, momentum = config.norm.eps, config.norm.momentum
        words.append(f"batch normalisation with eps {eps:g}, momentum {momentum:g}")
    if config.image_size is not None:
        words.append(f"for images of {size_text(config.image_size)} px")
    if config.auxiliary_weight:
        words.append(f"an auxiliary head of weight {config.auxiliary_weight:g}")
    return words


def _filled(config: OwnConfig) -> list[str]:
    """Name what fills the slots that are empty, or hold a ReLU, by default."""
    words = []
    if (attention := config.attention) is not None:
        usual = attention.reduction == SqueezeExcitePart.reduction
        reduction = "" if usual else f" (reduction {attention.reduction})"
        words.append(f"squeeze-excitation{reduction}")
    if not isinstance(config, MobileNetConfig) and config.selective_kernel is not None:
        words.append(f"selective kernel ({config.selective_kernel.kind})")
    if config.anti_alias is not None:
        words.append(_anti_alias_words(config.anti_alias))
    if config.activation != Relu():
        words.append(config.activation.kind)
    if config.drop is not None:
        words.append("DropBlock")
    return [*words, *_dropped(config)]


def _anti_alias_words(anti_alias: AntiAlias) -> str:
    kind = anti_alias.kind.replace("_", " ")
    return f"anti-aliasing ({kind} in {', '.join(anti_alias.places)})"


def _dropped(config: ModelConfig) -> list[str]:
    """Name what is dropped in training besides blocks."""
    branches = 0.0 if isinstance(config, MobileNetConfig) else config.stochastic_depth
    words = [f"stochastic depth {branches:g}"] if branches else []
    return [*words, f"dropout {config.dropout:g}"] if config.dropout else words
