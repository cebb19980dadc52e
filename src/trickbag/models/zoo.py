"""Networks by name and by config: this package's own, and all of timm."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from trickbag.data.size import Size, shorter_side
from trickbag.errors import UserError
from trickbag.memory import usable_memory
from trickbag.models.big_little import BigLittle
from trickbag.models.classifier import Classifier
from trickbag.models.config import (
    BigLittleConfig,
    MobileNetConfig,
    ModelConfig,
    OwnConfig,
    ResNetConfig,
    Stem,
    TimmConfig,
    model_config,
)
from trickbag.models.counting import count_params
from trickbag.models.features import Features
from trickbag.models.init import initialise, seeded_generator
from trickbag.models.mobilenet import MobileNet
from trickbag.models.resnet import ResNet
from trickbag.models.timm.network import network_on_shapes, timm_network
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "build_network",
    "build_on_shapes",
    "create_model",
    "fit_stem",
    "is_huge",
    "layer_groups",
    "raw_network",
]

Own = TypeVar("Own", bound=OwnConfig)

_MANY_CLASSES = 100_000

STRIDE_1_UP_TO = 40
STRIDE_2_UP_TO = 96
"""The largest image sizes, in pixels, for a small stem of stride 1 and of stride 2."""

_SMALL_STEMS: Mapping[Stem, tuple[Stem, Stem]] = MappingProxyType(
    {"imagenet": ("small_s1", "small_s2"), "deep": ("deep_s1", "deep_s2")}
)
"""The forms of a stem for small images, of stride 1 and of stride 2; both without max-pool."""


def create_model(
    name: str,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    seed: int = 0,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
) -> nn.Module:
    """Build a network by its name, with initial values: `resnet50_d`, `timm:convnext_tiny`.

    It takes images (N, C, H, W) to logits (N, K), C `in_channels`, K `num_classes`. The stem is
    that of the name; see `fit_stem` for small images. With `features_only` it returns the feature
    maps of the levels `out_indices` (None: all) in place of logits; see `models.features`. Raises
    UserError for a name or a level that is not known.
    """
    config = dataclasses.replace(
        model_config(name), num_classes=num_classes, in_channels=in_channels
    )
    network = build_network(config, seed=seed)
    return Features(network, out_indices) if features_only else network


def build_network(config: ModelConfig, *, seed: int) -> nn.Module:
    """Build the network of a config, with initial values that depend on `seed` alone.

    This package's networks are initialised by the config's scheme, each parameter from a stream of
    its name; those of timm keep timm's initialisation. Torch's random state stays unchanged. Raises
    UserError if the number of classes is missing, or if timm has no such network or cannot build
    it.
    """
    if config.num_classes == 0:
        raise UserError(
            "model.num_classes = 0: not known yet", "it is taken from the data, or give at least 1"
        )
    if isinstance(config, TimmConfig):
        return timm_network(config, seed)
    _require_memory(config)
    # The constructors draw values too; those of modules that `initialise` does not know stay.
    with seeded_generator(seed_of(seed, "init")):
        network = raw_network(config)
    initialise(network, config.init, seed)
    return network


def is_huge(config: ModelConfig) -> bool:
    """Return whether a config may be of far more weights than usual: then they can be counted."""
    if isinstance(config, TimmConfig):
        return False
    groups = config.cardinality * config.base_width if isinstance(config, ResNetConfig) else 0
    usual = config.depth_factor * config.width_factor**2 <= 4 and groups <= 4096
    return not usual or config.num_classes > _MANY_CLASSES


def _require_memory(config: OwnConfig) -> None:
    """Raise UserError for a network whose weights alone do not fit into the machine's memory.

    The system would kill the process. A config can come from a file that was altered.
    """
    if not is_huge(config):
        return
    count = count_params(build_on_shapes(config))
    needed, memory = 4 * count, usable_memory()
    if needed > memory:
        raise UserError(
            f"model: {count:,} parameters take {needed / 2**30:,.0f} GiB, and this machine has "
            f"{memory / 2**30:,.0f} GiB of memory",
            "take a smaller depth_factor, width_factor, cardinality, base_width or num_classes",
        )


def raw_network(config: OwnConfig) -> Classifier:
    """Build one of this package's networks with torch's default weights.

    On the device `meta` it has shapes alone.
    """
    if isinstance(config, BigLittleConfig):
        return BigLittle(config)
    return MobileNet(config) if isinstance(config, MobileNetConfig) else ResNet(config)


def build_on_shapes(config: ModelConfig) -> nn.Module:
    """Build the network of a config without memory for its weights, on the device `meta`.

    The parts that a config puts into a network of timm are left out. A few networks of timm have
    to be built with memory. Raises UserError as `build_network`.
    """
    if isinstance(config, TimmConfig):
        return network_on_shapes(config)
    with torch.device("meta"):
        return raw_network(config)


def fit_stem(config: Own, image_size: Size) -> Own:
    """Return the config with the stem that suits images of `image_size`: of their shorter side.

    Up to 40 px a stem of stride 1, up to 96 px one of stride 2, both without max-pool; in a
    MobileNet, without the stride of the second stage. Larger images keep the stem. A deep stem
    stays deep. A stem that is already one for small images is not changed.
    """
    side = shorter_side(image_size)
    if side > STRIDE_2_UP_TO or config.stem not in _SMALL_STEMS:
        return config
    stride_1, stride_2 = _SMALL_STEMS[config.stem]
    change: dict[str, Any] = {"stem": stride_1 if side <= STRIDE_1_UP_TO else stride_2}
    return dataclasses.replace(config, **change)


def layer_groups(network: nn.Module) -> list[list[nn.Parameter]]:
    """List all parameters of a network, each once, in groups from the input to the head.

    Layer-wise learning rates need them. This package's networks are grouped by stem, block (or pair
    of branches) and head, those of timm as `timm.optim.param_groups_layer_decay` does. A detector
    or a segmenter has the groups of its backbone, and all else in one more. In any other network
    each child that has parameters is a group.
    """
    if isinstance(network, Classifier):
        return network.layer_groups()
    if isinstance(backbone := getattr(network, "backbone", None), Features):
        groups = layer_groups(backbone.network)
        grouped = {parameter for group in groups for parameter in group}
        rest = [parameter for parameter in network.parameters() if parameter not in grouped]
        return [*groups, rest]
    names = _timm_groups(network)
    if names is None:
        return _groups_of_children(network)
    parameters = dict(network.named_parameters())
    return [[parameters[name] for name in group] for group in names]


def _timm_groups(network: nn.Module) -> list[list[str]] | None:
    """Return the names of timm's layer groups; None for a network that is not of timm."""
    matcher = getattr(network, "group_matcher", None)
    if matcher is not None:
        from timm.models import group_parameters

        # Not coarse: a group for each block, not for each stage.
        names = group_parameters(network, matcher(coarse=False))
        return [names[place] for place in sorted(names)]
    # Without the name of its head timm would make a single group of the network.
    if not (getattr(network, "pretrained_cfg", None) or {}).get("classifier"):
        return None
    import timm.optim

    # PiT, MetaFormer and CSATv2 do not say which blocks they have. timm counts: the head is a
    # group, and before it every twelve tensors, as many as a block of PiT has.
    group_by_count: Any = timm.optim.auto_group_layers  # type: ignore[attr-defined]  # no `__all__`
    groups: dict[int, list[str]] = {}
    for name, layer in group_by_count(network).items():
        groups.setdefault(layer, []).append(name)
    return [groups[layer] for layer in sorted(groups)]


def _groups_of_children(network: nn.Module) -> list[list[nn.Parameter]]:
    groups: list[list[nn.Parameter]] = []
    seen: set[nn.Parameter] = set()
    direct = list(network.parameters(recurse=False))
    # A parameter that children share belongs to the first of them.
    for parameters in (direct, *(list(child.parameters()) for child in network.children())):
        fresh = [parameter for parameter in parameters if parameter not in seen]
        seen.update(fresh)
        if fresh:
            groups.append(fresh)
    return groups
