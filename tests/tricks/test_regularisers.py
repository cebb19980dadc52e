"""All regularisers together: one graph that is compiled once, and independent random numbers."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.builders.recipes import tiny_recipe
from tests.models.test_layer_streams import masks
from trickbag.data.dataset import prepare
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.fit import fit
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.dropout import Dropout
from trickbag.tricks.ema import Ema
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.sam import Sam
from trickbag.tricks.stochastic_depth import StochasticDepth


def regularised(pictures: Path, **changes: str) -> Recipe:
    tricks = (
        DropBlock(keep_prob=0.8),
        StochasticDepth(),
        Dropout(),
        Ema(decay=0.9),
        Sam(),
        NoBiasDecay(free="norm"),
    )
    return (
        tiny_recipe(pictures, epochs=2, training__batch_size="24", **changes)
        .only("warmup", "mixup")
        .plus(*tricks)
    )


@pytest.mark.slow
def test_all_together_are_one_graph(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A backend that generates no code, which is slow: the captured graphs are the same.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    fit(regularised(pictures, training__compile="on"), 1, tmp_path / "compiled")
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    fit(regularised(pictures, training__compile="off"), 1, tmp_path / "plain")
    compiled = [
        torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("compiled", "plain")
    ]
    for name, value in compiled[0]["network"].items():
        torch.testing.assert_close(value, compiled[1]["network"][name], rtol=1e-3, atol=1e-4)


def test_taking_one_out_leaves_the_draws_of_the_others(pictures: Path) -> None:
    dropping = (
        DropBlock(keep_prob=0.6, start=0.6, block_size=1),
        StochasticDepth(drop_prob=0.5),
        Dropout(drop_prob=0.5),
    )
    drawn = {}
    for left_out in ("", *(trick.name for trick in dropping)):
        recipe = (
            tiny_recipe(pictures)
            .only()
            .plus(*(trick for trick in dropping if trick.name != left_out))
        )
        dataset = prepare(recipe.data)
        plan, _ = resolve(recipe, dataset, seed=5)
        run, _ = build(plan, recipe.tricks, dataset)
        run.network.train()
        run.layer_streams.begin(plan.seed, 1, 2, 0)
        drawn[left_out] = masks(run.network, torch.ones(8, 3, plan.image_size, plan.image_size))
    masks_of_all = drawn.pop("")
    assert all(
        (mask == 0).any()
        for name, mask in masks_of_all.items()
        if "layer3" in name or "layer4" in name
    )
    for left_out, rest in drawn.items():
        assert set(rest) < set(masks_of_all), left_out
        assert all(torch.equal(mask, masks_of_all[name]) for name, mask in rest.items()), left_out
