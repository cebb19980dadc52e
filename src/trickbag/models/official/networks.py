"""The networks of Lee et al. 2020 exactly as their code builds them, for their published weights.

Source: arXiv 2001.06268 and its TensorFlow code. All differ from this package's networks of the
same family by the momentum of their normalisations, by their initial values, and by a class 0 for
the background; those without Big-Little branches also by TensorFlow's pools. This module loads no
torch.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.models.config import BigLittleConfig, ResNetConfig
from trickbag.models.parts import AssembleKernel, BatchNorm, Blur, SqueezeExcitePart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.models.classifier import Classifier
    from trickbag.models.config import ModelConfig

__all__ = [
    "OFFICIAL_CLASSES",
    "OFFICIAL_MEAN",
    "OFFICIAL_STD",
    "create_official",
    "official_classes",
    "official_config",
    "official_name",
    "official_names",
    "official_preprocessing",
]

OFFICIAL_CLASSES = 1001
"""The background and the 1,000 classes of ImageNet: class k of ImageNet is their class k + 1."""

OFFICIAL_MEAN = (123.68, 116.78, 103.94)
"""The means of R, G and B that these networks expect to be subtracted, on the 0-255 scale."""

OFFICIAL_STD = (1.0, 1.0, 1.0)
"""They divide by no standard deviation."""

# 0.997 in TensorFlow, which weighs the old statistics.
_NORM = BatchNorm(momentum=0.003)
_ALL: Mapping[str, Any] = MappingProxyType({"norm": _NORM, "init": "lecun"})
_PLAIN: Mapping[str, Any] = MappingProxyType({**_ALL, "pooling": "tensorflow"})
_D: Mapping[str, Any] = MappingProxyType({**_PLAIN, "stem": "deep", "shortcut": "avg_pool"})
_SE = SqueezeExcitePart(bias=False, divisor=1)
_SK = AssembleKernel()
_ASSEMBLE: Mapping[str, Any] = MappingProxyType(
    {**_ALL, "selective_kernel": _SK, "anti_alias": Blur()}
)

_OFFICIAL: Mapping[str, ResNetConfig | BigLittleConfig] = MappingProxyType(
    {
        "resnet50": ResNetConfig(**_PLAIN),
        "resnet50_d": ResNetConfig(**_D),
        "resnet101_d": ResNetConfig(depth=101, **_D),
        "resnet152_d": ResNetConfig(depth=152, **_D),
        "resnet50_se": ResNetConfig(attention=_SE, **_PLAIN),
        "resnet50_sk": ResNetConfig(selective_kernel=_SK, **_PLAIN),
        "resnet50_aa": ResNetConfig(anti_alias=Blur(), **_PLAIN),
        "resnet50_aa_proj": ResNetConfig(anti_alias=Blur(places=("branch", "shortcut")), **_PLAIN),
        "resnet50_d_se": ResNetConfig(attention=_SE, **_D),
        "resnet50_d_sk": ResNetConfig(selective_kernel=_SK, **_D),
        "resnet50_d_sk_aa": ResNetConfig(selective_kernel=_SK, anti_alias=Blur(), **_D),
        "resnet50_bl": BigLittleConfig(**_ALL),
        "resnet50_bl_sk": BigLittleConfig(selective_kernel=_SK, **_ALL),
        "resnet101_bl": BigLittleConfig(depth=101, **_ALL),
        "assemble50": BigLittleConfig(**_ASSEMBLE),
        "assemble50_d": BigLittleConfig(stem="deep", last_pool="resnet_d", **_ASSEMBLE),
        "assemble101": BigLittleConfig(depth=101, **_ASSEMBLE),
        "assemble152": BigLittleConfig(depth=152, alpha=1, beta=2, **_ASSEMBLE),
    }
)

_FREE = (
    "num_classes",
    "in_channels",
    "small_stem",
    "init",
    "norm",
    "pooling",
    "drop",
    "stochastic_depth",
    "dropout",
)
"""The settings that may differ from those of an official network whose weights are loaded."""


def official_names() -> list[str]:
    """List the networks that `create_official` builds."""
    return list(_OFFICIAL)


def official_config(
    name: str, num_classes: int = OFFICIAL_CLASSES
) -> ResNetConfig | BigLittleConfig:
    """Return the config of an official network: `assemble50`.

    Raises UserError for an unknown name.
    """
    if name not in _OFFICIAL:
        raise UserError(f"no official network {name!r}", f"there are {', '.join(_OFFICIAL)}")
    return dataclasses.replace(_OFFICIAL[name], num_classes=num_classes)


def official_name(config: ModelConfig) -> str | None:
    """Return the name of the official network whose weights fit a config's network, or None.

    These settings may differ, as they neither have weights nor decide where weights belong: the
    number of classes, initial values, the momentum of normalisations, regularisers, and
    TensorFlow's pools.
    """
    for name, official in _OFFICIAL.items():
        # A Big-Little network has no `pooling`.
        free: dict[str, Any] = {
            field: getattr(official, field) for field in _FREE if hasattr(official, field)
        }
        if type(config) is type(official) and dataclasses.replace(config, **free) == official:
            return name
    return None


def official_preprocessing(name: str) -> Preprocessing:
    """Return the preprocessing with which the authors' code evaluates an official network.

    All networks were trained at 224 px. Those with Big-Little branches are evaluated at 256 px, cut
    from a shorter edge of 292, or of 257 for `assemble152`. The authors resize with TensorFlow 1,
    whose bilinear filter does not widen when it shrinks and does not sample at the centres of
    pixels. This package's filter does both, so accuracies differ a little.
    """
    from trickbag.data.loading.preprocess import Preprocessing

    size, resize = 224, 256
    if isinstance(official_config(name), BigLittleConfig):
        size, resize = 256, 257 if name == "assemble152" else 292
    return Preprocessing(image_size=size, resize=resize, mean=OFFICIAL_MEAN, std=OFFICIAL_STD)


def official_classes(num_classes: int = OFFICIAL_CLASSES) -> tuple[str, ...]:
    """Name the classes of an official network: `background` and the 1,000 WordNet ids of ImageNet.

    The variables do not name other classes: with any other number the names are numbers from 0.
    """
    if num_classes != OFFICIAL_CLASSES:
        return tuple(map(str, range(num_classes)))
    from timm.data.imagenet_info import ImageNetInfo

    imagenet: Any = ImageNetInfo()  # timm has no types
    return ("background", *imagenet.label_names())


def create_official(name: str, num_classes: int = OFFICIAL_CLASSES, *, seed: int = 0) -> Classifier:
    """Build an official network with initial values; images (N, 3, H, W) become logits (N, K).

    `models.official.convert.from_tensorflow` converts the published weights. These expect RGB
    images on the 0-255 scale minus (123.68, 116.78, 103.94), without a division. Raises UserError
    for an unknown name.
    """
    from trickbag.models.classifier import Classifier
    from trickbag.models.zoo import build_network

    network = build_network(official_config(name, num_classes), seed=seed)
    assert isinstance(network, Classifier)
    return network
