"""The networks of Lee et al. 2020 exactly as their code builds them, for the weights that they published.

Source: arXiv 2001.06268 and its TensorFlow code. The networks without Big-Little branches differ from this package's
of the same family by TensorFlow's pools, all by the momentum of their normalisations, their initial values, and a class
0 for the background.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.models.config import BigLittleConfig, ResNetConfig
from trickbag.models.parts import AssembleKernel, BatchNorm, Blur, SqueezeExcite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.models.classifier import Classifier

__all__ = ["OFFICIAL_CLASSES", "create_official", "official_config", "official_names"]

OFFICIAL_CLASSES = 1001
"""The background and the 1,000 classes of ImageNet: class k of ImageNet is their class k + 1."""

_NORM = BatchNorm(momentum=0.003)
_ALL: Mapping[str, Any] = MappingProxyType({"norm": _NORM, "init": "lecun"})
_PLAIN: Mapping[str, Any] = MappingProxyType({**_ALL, "pooling": "tensorflow"})
_D: Mapping[str, Any] = MappingProxyType({**_PLAIN, "stem": "deep", "shortcut": "avg_pool"})
_SE = SqueezeExcite(bias=False, divisor=1)
_SK = AssembleKernel()
_ASSEMBLE: Mapping[str, Any] = MappingProxyType({**_ALL, "selective_kernel": _SK, "anti_alias": Blur()})

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


def official_names() -> list[str]:
    """List the networks that `create_official` builds."""
    return list(_OFFICIAL)


def official_config(name: str, num_classes: int = OFFICIAL_CLASSES) -> ResNetConfig | BigLittleConfig:
    """Return the config of an official network: `assemble50`.

    Raises UserError for a name that is not known.
    """
    if name not in _OFFICIAL:
        raise UserError(f"no official network {name!r}; there are {', '.join(_OFFICIAL)}")
    return dataclasses.replace(_OFFICIAL[name], num_classes=num_classes)


def create_official(name: str, num_classes: int = OFFICIAL_CLASSES, *, seed: int = 0) -> Classifier:
    """Build an official network, initialised; `models.convert.from_tensorflow` gives its published weights.

    Those expect RGB images on the 0-255 scale minus (123.68, 116.78, 103.94), without a division. Raises UserError for
    a name that is not known.
    """
    from trickbag.models.classifier import Classifier
    from trickbag.models.zoo import build_network

    network = build_network(official_config(name, num_classes), seed=seed)
    assert isinstance(network, Classifier)
    return network
