"""Big-Little as a trick: what it keeps of a ResNet, and what it refuses."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest

from trickbag.errors import DoesNotApply
from trickbag.models.config import (
    BigLittleConfig,
    ModelConfig,
    ResNetConfig,
    TimmConfig,
    model_config,
)
from trickbag.models.parts import (
    AssembleKernel,
    Blur,
    Mish,
    SplitKernel,
    SqueezeExcitePart,
)
from trickbag.tricks.big_little import BigLittleBranches, to_big_little

if TYPE_CHECKING:
    pass

TIMM = TimmConfig(name="convnext_atto")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            TIMM,
            "big_little rebuilds this package's ResNets; timm:convnext_atto is none. Use resnet50",
        ),
        (
            ResNetConfig(depth=34),
            "big_little is made of bottlenecks; a ResNet of depth 34 has basic blocks. Use a depth "
            "of 50 or more",
        ),
        (
            model_config("resnext101_32x4d"),
            "big_little has no groups; this ResNet-101 is a 32x4d. Use resnet50",
        ),
        (
            ResNetConfig(last_stride=1),
            "big_little has a last stage of stride 2; model.last_stride is 1. Set it to 2",
        ),
        (
            model_config("resnetaa50d"),
            "big_little has no max-pool in its stem; the anti-aliasing of this network has 'stem' "
            "among its places. "
            "Give it branch, shortcut or both (anti_alias.places)",
        ),
    ],
)
def test_big_little_refuses_what_it_cannot_keep(model: ModelConfig, message: str) -> None:
    with pytest.raises(
        DoesNotApply, match=f"^{re.escape(message)}, or take it out: --without big_little$"
    ):
        BigLittleBranches().model(model)


@pytest.mark.parametrize("variant", ["", "_a", "_c", "_d"])
def test_big_little_keeps_the_stem_of_a_network_and_has_its_own_shortcuts(variant: str) -> None:
    start = model_config(f"resnet50{variant}")
    assert isinstance(start, ResNetConfig)
    assert to_big_little(start) == BigLittleConfig(depth=50, stem=start.stem)


def test_big_little_keeps_every_slot() -> None:
    kept: dict[str, Any] = {
        "attention": SqueezeExcitePart(),
        "selective_kernel": SplitKernel(),
        "activation": Mish(),
        "anti_alias": Blur(places=("branch", "shortcut")),
        "stem": "deep_s2",
        "norm": dataclasses.replace(ResNetConfig().norm, momentum=0.003),
        "init": "lecun",
    }
    start = ResNetConfig(depth=101, pooling="tensorflow", shortcut="avg_pool", **kept)
    assert to_big_little(start, alpha=4, beta=1) == BigLittleConfig(
        depth=101, alpha=4, beta=1, **kept
    )
    # Every field that both configs have is carried over, also one that is added later.
    both = {f.name for f in dataclasses.fields(ResNetConfig)} & {
        f.name for f in dataclasses.fields(BigLittleConfig)
    }
    changed = to_big_little(start)
    assert all(getattr(changed, name) == getattr(start, name) for name in both)


def test_settings_of_a_big_little_network_can_be_changed() -> None:
    changed = BigLittleBranches(alpha=1, beta=2).model(model_config("assemble_resnet50"))
    expected = BigLittleConfig(
        depth=50, alpha=1, beta=2, selective_kernel=AssembleKernel(), anti_alias=Blur()
    )
    assert changed == expected
