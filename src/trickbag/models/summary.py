"""What a network is made of, in a few words, for lists and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.models.config import BigLittleConfig, ResNetConfig, TimmConfig
from trickbag.models.parts import Relu

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["summary"]


def summary(config: ModelConfig) -> str:
    """Say in a few words what a network is made of."""
    if isinstance(config, TimmConfig):
        norm = config.norm
        changed = [] if norm is None else [f"batch normalisation with eps {norm.eps:g}, momentum {norm.momentum:g}"]
        return ", ".join([f"timm's {config.name}", *changed, *_dropped(config)])
    stem = {"imagenet": "7x7 stem", "deep": "deep stem (three 3x3)"}.get(config.stem, f"stem {config.stem}")
    if isinstance(config, BigLittleConfig):
        parts = [
            f"Big-Little ResNet-{config.depth}",
            f"bottleneck blocks, alpha {config.alpha}, beta {config.beta}",
            stem,
            *(["projections where needed"] if config.projection == "where_needed" else []),
        ]
    else:
        place = "3x3" if config.branch_stride == "middle" else "1x1"
        grouped = (
            f"{config.cardinality}x{config.base_width}d " if (config.cardinality, config.base_width) != (1, 64) else ""
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
    return ", ".join([*parts, *_filled(config)])


def _filled(config: ResNetConfig | BigLittleConfig) -> list[str]:
    """Name what fills the slots that are empty, or hold a ReLU, by default."""
    kernel, blur = config.selective_kernel, config.anti_alias
    return [
        *(["squeeze-excitation"] if config.attention is not None else []),
        *([f"selective kernel ({kernel.kind})"] if kernel is not None else []),
        *([f"anti-aliasing ({blur.kind.replace('_', ' ')} in {', '.join(blur.places)})"] if blur is not None else []),
        *([config.activation.kind] if config.activation != Relu() else []),
        *(["DropBlock"] if config.drop is not None else []),
        *_dropped(config),
    ]


def _dropped(config: ModelConfig) -> list[str]:
    """Name what is dropped in training besides blocks."""
    return [
        *([f"stochastic depth {config.stochastic_depth:g}"] if config.stochastic_depth else []),
        *([f"dropout {config.dropout:g}"] if config.dropout else []),
    ]
