"""What a network is made of, in a few words, for lists and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.models.config import BigLittleConfig, MobileNetConfig, ResNetConfig, TimmConfig
from trickbag.models.parts import Relu, SqueezeExcitePart

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig, OwnConfig

__all__ = ["display_name", "summary"]


def display_name(config: ModelConfig) -> str:
    """Say in one word what a network is, for a message: `timm:convnext_tiny`,
    `big_little:bl_resnet50`."""
    if isinstance(config, ResNetConfig):
        return f"resnet{config.depth}"
    return config.kind if isinstance(config, MobileNetConfig) else f"{config.kind}:{config.name}"


def summary(config: ModelConfig) -> str:
    """Say in a few words what a network is made of."""
    if isinstance(config, TimmConfig):
        return ", ".join([f"timm's {config.name}", *_put_in(config), *_dropped(config)])
    if isinstance(config, MobileNetConfig):
        stem = "3x3 stem" if config.stem == "imagenet" else f"stem {config.stem}"
        return ", ".join(
            ["MobileNet v1", "depthwise separable blocks", stem, *_scaled(config), *_filled(config)]
        )
    stem = {"imagenet": "7x7 stem", "deep": "deep stem (three 3x3)"}.get(
        config.stem, f"stem {config.stem}"
    )
    if isinstance(config, BigLittleConfig):
        parts = [
            f"Big-Little ResNet-{config.depth}",
            f"bottleneck blocks, alpha {config.alpha}, beta {config.beta}",
            stem,
            *(["projections where needed"] if config.projection == "where_needed" else []),
            *(["the last shortcut's pool of ResNet-D"] if config.last_pool == "resnet_d" else []),
        ]
    else:
        place = "3x3" if config.branch_stride == "middle" else "1x1"
        grouped = (
            f"{config.cardinality}x{config.base_width}d "
            if (config.cardinality, config.base_width) != (1, 64)
            else ""
        )
        parts = [
            f"ResNet-{config.depth}",
            f"{grouped}{config.block} blocks",
            stem,
            *([f"stride in the {place}"] if config.block == "bottleneck" else []),
            *(["average-pool shortcut"] if config.shortcut == "avg_pool" else []),
            *(["last stage of stride 1"] if config.last_stride == 1 else []),
            *(["TensorFlow's pools"] if config.pooling == "tensorflow" else []),
        ]
    return ", ".join([*parts, *_scaled(config), *_filled(config)])


def _scaled(config: OwnConfig) -> list[str]:
    """Name the factors of depth and width that are not 1."""
    factors = {"depth": config.depth_factor, "width": config.width_factor}
    return [f"{factor:.4g} times the {name}" for name, factor in factors.items() if factor != 1]


def _put_in(config: TimmConfig) -> list[str]:
    """Name what is put into a network of timm."""
    norm, blur = config.norm, config.anti_alias
    return [
        *(["squeeze-excitation"] if config.attention is not None else []),
        *(
            [f"anti-aliasing ({blur.kind.replace('_', ' ')} in {', '.join(blur.places)})"]
            if blur is not None
            else []
        ),
        *([config.activation.kind] if config.activation is not None else []),
        *(
            [f"batch normalisation with eps {norm.eps:g}, momentum {norm.momentum:g}"]
            if norm is not None
            else []
        ),
    ]


def _filled(config: OwnConfig) -> list[str]:
    """Name what fills the slots that are empty, or hold a ReLU, by default."""
    kernel = None if isinstance(config, MobileNetConfig) else config.selective_kernel
    gates, blur = config.attention, config.anti_alias
    usual = gates is not None and gates.reduction == SqueezeExcitePart.reduction
    return [
        *(["squeeze-excitation"] if usual else []),
        *(
            [f"squeeze-excitation (reduction {gates.reduction})"]
            if gates is not None and not usual
            else []
        ),
        *([f"selective kernel ({kernel.kind})"] if kernel is not None else []),
        *(
            [f"anti-aliasing ({blur.kind.replace('_', ' ')} in {', '.join(blur.places)})"]
            if blur is not None
            else []
        ),
        *([config.activation.kind] if config.activation != Relu() else []),
        *(["DropBlock"] if config.drop is not None else []),
        *_dropped(config),
    ]


def _dropped(config: ModelConfig) -> list[str]:
    """Name what is dropped in training besides blocks."""
    branches = 0.0 if isinstance(config, MobileNetConfig) else config.stochastic_depth
    return [
        *([f"stochastic depth {branches:g}"] if branches else []),
        *([f"dropout {config.dropout:g}"] if config.dropout else []),
    ]
