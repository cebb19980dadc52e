"""All that regularises at once: one graph, which nothing that changes over a run compiles anew."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.train.runs import recipe
from trickbag.recipe import Recipe
from trickbag.train.loop import fit
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.dropout import Dropout
from trickbag.tricks.ema import Ema
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.sam import Sam
from trickbag.tricks.stochastic_depth import StochasticDepth


def regularised(pictures: Path, **changes: str) -> Recipe:
    tricks = (DropBlock(keep_prob=0.8), StochasticDepth(), Dropout(), Ema(decay=0.9), Sam(), NoBiasDecay(free="norm"))
    return recipe(pictures, epochs=2, training__batch_size="24", **changes).only("warmup", "mixup").plus(*tricks)


def test_all_together_are_one_graph(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The backend that generates no code: what is captured is the same.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    fit(regularised(pictures, training__compile="on"), 1, tmp_path / "compiled")
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    fit(regularised(pictures, training__compile="off"), 1, tmp_path / "plain")
    compiled = [torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("compiled", "plain")]
    for name, value in compiled[0]["network"].items():
        torch.testing.assert_close(value, compiled[1]["network"][name], rtol=1e-3, atol=1e-4)
