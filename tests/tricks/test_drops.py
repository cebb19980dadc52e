"""Tricks that drop while a network trains: their schedules, and the networks they apply to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import DropPath

from tests.models.official.originals import vector
from trickbag.errors import DoesNotApply, UserError
from trickbag.models import build_network
from trickbag.models.config import BigLittleConfig, ModelConfig, ResNetConfig, TimmConfig
from trickbag.models.layers.drop import DropBlock2d
from trickbag.tricks.drop_block import DropBlock, keep_prob_at
from trickbag.tricks.dropout import Dropout
from trickbag.tricks.stochastic_depth import StochasticDepth, branch_drop_probs
from trickbag.tricks.trick import NoEffect, Timestamp, Trick


def test_keep_prob_falls_as_in_the_original_code() -> None:
    facts, _ = vector("units")
    last = 750683
    for step, expected in zip(
        facts["keep_prob_600ep"]["steps"], facts["keep_prob_600ep"]["kp"], strict=True
    ):
        assert keep_prob_at(min(1.0, step / last)) == pytest.approx(expected, abs=2e-7)
    assert keep_prob_at(0.5, start=0.9, end=0.7) == pytest.approx(0.8)


def test_drop_block_changes_at_every_step() -> None:
    trick = DropBlock(keep_prob=0.6, start=0.8)
    network = build_network(trick.model(ResNetConfig(depth=18, num_classes=3)), seed=0)
    layers = [m for m in network.modules() if isinstance(m, DropBlock2d)]
    assert len(layers) == 2 * (2 * 2 + 1)
    for step, expected in ((0, 0.8), (5, 0.7), (9, 0.62)):
        trick.advance(network, Timestamp(epoch=0, step=step, steps_per_epoch=10, epochs=1))
        assert [float(m.keep_prob) for m in layers] == pytest.approx([expected] * len(layers))


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        (
            {"scales": (0.0, 0.0, 0.0, 0.0)},
            r"drop_block.scales = 0,0,0,0: nothing would be dropped; give",
        ),
        (
            {"keep_prob": 1.0},
            r"drop_block.keep_prob = 1: nothing would be dropped; give a value below 1",
        ),
        (
            {"keep_prob": 0.0},
            r"drop_block.keep_prob = 0.0: must be a number from 0 \(excluded\) to 1",
        ),
        ({"block_size": 0}, r"drop_block.block_size = 0: must be a whole number at least 1"),
    ],
)
def test_drop_block_refuses_settings_that_drop_nothing(trick: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        DropBlock(**trick)


def test_drop_block_needs_a_network_of_ours() -> None:
    with pytest.raises(
        DoesNotApply,
        match=r"drop_block fills the drop slot .* timm:resnet18 has none. Use a resnetN",
    ):
        DropBlock().model(TimmConfig(name="resnet18"))


@pytest.mark.parametrize(
    "model", [ResNetConfig(), BigLittleConfig(), TimmConfig()], ids=lambda model: model.kind
)
def test_rates_are_set_on_every_kind_of_network(model: ModelConfig) -> None:
    assert StochasticDepth(drop_prob=0.3).model(model).stochastic_depth == 0.3
    assert Dropout(drop_prob=0.3).model(model).dropout == 0.3
    for trick in (StochasticDepth(drop_prob=0.3), Dropout(drop_prob=0.3)):
        with pytest.raises(NoEffect, match=r"is already 0.3"):
            trick.model(trick.model(model))


def test_timm_drops_as_timm_does() -> None:
    network: Any = build_network(
        TimmConfig(name="resnet10t", num_classes=3, stochastic_depth=0.4, dropout=0.25), seed=0
    )
    probs = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
    assert probs == pytest.approx([0.4 * block / 3 for block in range(1, 4)])
    assert network.drop_rate == 0.25
    assert branch_drop_probs(4, 0.4) == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("trick", "network", "option"),
    [
        (StochasticDepth(), "vgg11", "drop_path_rate"),
        (StochasticDepth(), "densenet121", "drop_path_rate"),
    ],
)
def test_a_timm_network_that_cannot_drop_says_so(trick: Trick, network: str, option: str) -> None:
    expected = (
        f"{trick.name} does not apply to timm:{network}, which has no {option}. "
        f"Choose another network, or take it out: --without {trick.name}"
    )
    # The trick says it, so that a study has a row for it; a recipe that sets the field without the
    # trick gets the same from the network.
    with pytest.raises(DoesNotApply) as caught:
        trick.model(TimmConfig(name=network, num_classes=3))
    assert str(caught.value) == expected
    with torch.device("meta"), pytest.raises(DoesNotApply) as caught:
        build_network(TimmConfig(name=network, num_classes=3, stochastic_depth=0.1), seed=0)
    assert str(caught.value) == expected
