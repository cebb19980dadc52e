"""Published weights, which timm downloads and caches."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note, UserError, first_line
from trickbag.models.config import (
    BigLittleConfig,
    MobileNetConfig,
    ModelConfig,
    ResNetConfig,
    TimmConfig,
    model_config,
    model_names,
)
from trickbag.models.init import seeded_generator
from trickbag.models.parts import (
    AveragePool,
    Blur,
    OriginalKernel,
    Relu,
    Relu6,
    SplitKernel,
    SqueezeExcitePart,
)
from trickbag.models.summary import summary
from trickbag.models.transfer import InitHead, SourceWeights
from trickbag.models.weights import enter_weights
from trickbag.output import third_party_output
from trickbag.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

__all__ = [
    "load_pretrained",
    "pretrained_names",
    "published_classes",
    "published_id",
    "timm_name",
]

_TWEAKS = {
    ("imagenet", "middle", "conv"): "",
    ("deep", "middle", "conv"): "c",
    ("deep", "middle", "avg_pool"): "d",
}
_GROUPS = {(1, 64): "", (32, 4): "_32x4d", (32, 8): "_32x8d"}
# Blur and average pool have no weights. They are here because weights work only together with the
# layers with which they were trained.
_FILLED: dict[tuple[object, object, object], str] = {
    (None, None, None): "resnet",
    (SqueezeExcitePart(), None, None): "seresnet",
    (None, None, Blur(places=("branch", "stem"))): "resnetblur",
    (None, None, AveragePool()): "resnetaa",
}
_MOBILENETS = {1.0: "mobilenetv1_100", 1.25: "mobilenetv1_125"}
_SELECTIVE: dict[tuple[object, str, tuple[int, int]], str] = {
    (SplitKernel(), "bottleneck", (1, 64)): "skresnet",
    # timm's basic blocks have a larger attention than its bottlenecks.
    (SplitKernel(reduction=8, least=16), "basic", (1, 64)): "skresnet",
    (OriginalKernel(), "bottleneck", (32, 4)): "skresnet",
}


def timm_name(config: ModelConfig) -> str | None:
    """Return timm's name of a config's network: `resnet50d` for `resnet50_d`.

    None if timm has no network of this form.
    """
    if isinstance(config, TimmConfig):
        return None if _added_parts(config) else config.name
    if isinstance(config, MobileNetConfig):
        return _mobilenet_name(config)
    if isinstance(config, BigLittleConfig) or (config.depth_factor, config.width_factor) != (1, 1):
        return None
    if (config.last_stride, config.pooling) != (2, "torch") or config.activation != Relu():
        return None
    groups = (config.cardinality, config.base_width)
    place = (
        config.stem,
        # A basic block ignores `branch_stride`.
        "middle" if config.block == "basic" else config.branch_stride,
        config.shortcut,
    )
    family = _FILLED.get((config.attention, config.selective_kernel, config.anti_alias))
    if config.attention is None and config.anti_alias is None:
        family = family or _SELECTIVE.get((config.selective_kernel, config.block, groups))
    if family is None or place not in _TWEAKS or groups not in _GROUPS:
        return None
    if groups != (1, 64):
        family = family.replace("resnet", "resnext")
    return f"{family}{config.depth}{_TWEAKS[place]}{_GROUPS[groups]}"


def _mobilenet_name(config: MobileNetConfig) -> str | None:
    form = (
        config.stem,
        config.depth_factor,
        config.attention,
        config.anti_alias,
        config.activation,
    )
    if form != ("imagenet", 1, None, None, Relu6()):
        return None
    return _MOBILENETS.get(config.width_factor)


def pretrained_names() -> list[str]:
    """List the names of this package for whose networks timm publishes weights."""
    names: dict[str | None, str] = {}
    for name in model_names():
        # `resnet50` and `resnet50_b` are one network; the first name stands for it.
        names.setdefault(timm_name(model_config(name)), name)
    return [name for published, name in names.items() if _has_weights(published)]


def load_pretrained(
    network: nn.Module,
    config: ModelConfig,
    instead: str = "a safetensors file: --init FILE",
    *,
    classes: Sequence[str] | None = None,
    init_head: InitHead = "auto",
) -> list[Note]:
    """Load published weights into the network of a config; return notes on the result.

    What the classifier takes is decided by `classes` and `init_head` as in `weights.load_weights`:
    timm's weights of ImageNet have its WordNet ids as class names. timm adapts the first
    convolution to another number of input channels. The weights are downloaded, or come from timm's
    cache. Raises UserError if there are none for such a network, or if they cannot be reached; it
    names what to give `instead`.
    """
    import timm

    name = timm_name(config)
    if name is None or not _has_weights(name):
        raise UserError(
            f"no pretrained weights of {_network_words(config)}",
            f"there are for {', '.join(pretrained_names())}; or --init FILE",
        )
    try:
        _reach_hub(name)
        # timm draws initial values before it loads the weights.
        with seeded_generator(0), third_party_output():
            donor: Any = timm.create_model(name, pretrained=True, in_chans=config.in_channels)
    except Exception as error:
        # The hub's client, its HTTP library and timm raise exceptions of no common base.
        reason = first_line(error).rstrip(".")
        raise UserError(
            f"the pretrained weights of timm's {name} could not be fetched ({reason})",
            f"connect to the network, or give {instead}",
        ) from error
    reasons = [f"weights of timm's {name}"]
    if config.in_channels != donor.pretrained_cfg["input_size"][0]:
        reasons.append(f"the first convolution was adapted to {config.in_channels} channels")
    notes = [Note("weights", None, reason) for reason in reasons]
    source = SourceWeights(
        tensors=donor.state_dict(), origin=f"timm's {name}", classes=published_classes(name)
    )
    return notes + enter_weights(
        network, source, config=config, classes=classes, init_head=init_head
    )


def published_id(config: ModelConfig) -> str:
    """Return the name of the weights that timm publishes for a config's network."""
    from timm.models import get_pretrained_cfg

    name = timm_name(config)
    published = get_pretrained_cfg(name) if name is not None and _has_weights(name) else None
    return f"{name}: {published.hf_hub_id or published.url}" if published else str(name)


def published_classes(name: str) -> tuple[str, ...] | None:
    """Return the classes of weights that timm publishes: WordNet ids of ImageNet, as n01440764.

    In the order of the logits; None where timm does not know them.
    """
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
    from timm.models import get_pretrained_cfg

    published = get_pretrained_cfg(name)
    subset = published and infer_imagenet_subset({"num_classes": published.num_classes})
    if not subset:
        return None
    return tuple(ImageNetInfo(subset).label_names())  # type: ignore[no-untyped-call]  # no types


def _reach_hub(name: str) -> None:
    """Raise an exception if the hub cannot be reached and the weights are not in its cache."""
    # The hub's own client would retry for a minute first.
    from huggingface_hub import constants, get_session, try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    published = get_pretrained_cfg(name)
    repository = published and published.hf_hub_id
    if not repository or isinstance(try_to_load_from_cache(repository, "model.safetensors"), str):
        return
    get_session().head(constants.ENDPOINT, timeout=10)


def _has_weights(name: str | None) -> bool:
    from timm.models import is_model_pretrained

    return name is not None and bool(is_model_pretrained(name))


_WEIGHT_SETTINGS = (
    "last_stride",
    "depth_factor",
    "width_factor",
    "cardinality",
    "base_width",
    "attention",
    "selective_kernel",
    "anti_alias",
    "pooling",
    "activation",
)
"""The settings of a ResNet that decide which weights it needs, besides depth and tweaks."""


def _network_words(config: ModelConfig) -> str:
    """Return what a network without published weights is, for an error message."""
    if isinstance(config, TimmConfig):
        parts = ", ".join(f"{slot} {_word(part)}" for slot, part in _added_parts(config).items())
        return f"timm's {config.name}{f' with {parts}' if parts else ''}"
    if isinstance(config, MobileNetConfig):
        with_relu6 = dataclasses.replace(config, activation=Relu6())
        if timm_name(with_relu6):
            return (
                f"{summary(config)} with {config.activation.kind}; there are with "
                "model.activation=relu6"
            )
    if not isinstance(config, ResNetConfig):
        return summary(config)
    settings = {name: getattr(config, name) for name in ("stem", "branch_stride", "shortcut")}
    for name in _WEIGHT_SETTINGS:
        if (value := getattr(config, name)) != getattr(ResNetConfig, name):
            settings[name] = value
    words = ", ".join(f"{name} {_word(value)}" for name, value in settings.items())
    return f"resnet{config.depth} with {words}"


def _added_parts(config: TimmConfig) -> dict[str, Settings]:
    """Return the parts that a network of timm was not trained with, by their slots."""
    parts: dict[str, Settings | None] = {
        "activation": config.activation,
        "attention": config.attention,
        "anti_alias": config.anti_alias,
    }
    return {slot: part for slot, part in parts.items() if part is not None}


def _word(value: object) -> str:
    return value.kind if isinstance(value, Settings) else str(value)
