"""The moving average of a network: against timm and a sum by hand, and what a run does with it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from timm.utils import ModelEmaV3
from torch import nn

from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from tests.train.test_fit import SignalAt
from trickbag.errors import Stopped, UserError
from trickbag.evaluate.trained import Trained
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.tricks.ema import Ema, MovingAverage, decay_at


def test_decay_rises_to_its_value() -> None:
    assert [decay_at(step) for step in (0, 1, 8)] == pytest.approx([0.1, 2 / 11, 0.5])
    assert decay_at(100_000, 0.999) == 0.999
    assert decay_at(0, 0.999, warmup=False) == 0.999


def train_step(network: nn.Module, step: int) -> None:
    """Change weights and running statistics, as a step of training does."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    network(torch.randn(4, 3, 5, 5, generator=generator, dtype=next(network.parameters()).dtype))


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)
    ).train()


def test_the_average_equals_timms() -> None:
    network = small_network()
    ours, timms = MovingAverage(network, 0.9, warmup=False), ModelEmaV3(network, decay=0.9)
    for step in range(4):
        train_step(network, step)
        ours.update(step)
        timms.update(network)
    for name, value in timms.module.state_dict().items():
        assert torch.equal(ours.network.state_dict()[name], value), name
    assert int(ours.network[1].num_batches_tracked) == 4  # type: ignore[index]  # of a Sequential


def test_every_third_step_is_averaged() -> None:
    network, other = small_network(), small_network()
    other.load_state_dict(network.state_dict())
    rare, often = MovingAverage(network, 0.9, every=3), MovingAverage(other, 0.9)
    for step in range(8):
        train_step(network, step)
        rare.update(step)
        train_step(other, step)
        if step % 3 == 0:
            often.update(step // 3)
        for name, value in often.network.state_dict().items():
            assert torch.equal(rare.network.state_dict()[name], value), name


def test_the_average_equals_the_sum_by_hand() -> None:
    network = small_network().double()
    average = MovingAverage(network, 0.6)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for step in range(20):
        train_step(network, step)
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            old = expected[name]
            expected[name] = (
                decay * old + (1 - decay) * value if value.is_floating_point() else value.clone()
            )
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12)


def test_the_average_is_a_network_of_its_own_in_evaluation_mode() -> None:
    network = small_network()
    average = MovingAverage(network)
    assert network.training
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert {p.data_ptr() for p in network.parameters()}.isdisjoint(
        p.data_ptr() for p in average.network.parameters()
    )


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_that_averages_nothing_is_refused(decay: float) -> None:
    with pytest.raises(
        UserError,
        match=rf"ema.decay = {decay}: must be a number from 0 \(excluded\) to 1 \(excluded\)",
    ):
        Ema(decay=decay)


@pytest.fixture(scope="module")
def averaged(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("averaged") / "run"
    fit(averaging(pictures), seed=3, out=out)
    return out


def averaging(pictures: Path) -> Recipe:
    return tiny_recipe(pictures, epochs=2).only("warmup").on("timm:resnet10t").plus(Ema(decay=0.8))


def test_a_run_evaluates_and_keeps_the_average(averaged: Path) -> None:
    state = torch.load(averaged / "last.ckpt", weights_only=True)
    best = load_file(averaged / "best.safetensors")
    metrics = json.loads((averaged / "result.json").read_text())["metrics"]
    rows = [json.loads(line) for line in (averaged / "metrics.jsonl").read_text().splitlines()]
    assert {"raw_top1", "raw_loss"} <= rows[0].keys()
    assert rows[0]["loss"] != rows[0]["raw_loss"]
    assert [metrics[key] for key in ("top1", "raw_top1", "raw_loss")] == [
        rows[-1][key] for key in ("top1", "raw_top1", "raw_loss")
    ]
    assert metrics["best_top1"] == max(row["top1"] for row in rows)
    assert any(
        not torch.equal(value, state["network"][name]) for name, value in state["average"].items()
    )
    if metrics["best_epoch"] == 2:
        assert all(torch.equal(value, best[name]) for name, value in state["average"].items())
    with_average = Trained.load(averaged).network.state_dict()
    assert all(torch.equal(with_average[name], value) for name, value in best.items())


def test_the_average_changes_nothing_of_the_training(
    pictures: Path, averaged: Path, tmp_path: Path
) -> None:
    fit(averaging(pictures).without("ema"), seed=3, out=tmp_path / "run")
    with_it, without = (
        torch.load(f / "last.ckpt", weights_only=True) for f in (averaged, tmp_path / "run")
    )
    assert all(
        torch.equal(value, without["network"][name]) for name, value in with_it["network"].items()
    )
    assert without["average"] is None
    lines = [
        (f / "metrics.jsonl").read_text().splitlines()[-1] for f in (averaged, tmp_path / "run")
    ]
    assert json.loads(lines[0])["raw_top1"] == json.loads(lines[1])["top1"]


def test_a_resumed_run_has_the_average_of_an_uninterrupted_one(
    pictures: Path, averaged: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        fit(averaging(pictures), seed=3, out=tmp_path / "run", log=SignalAt(8, signal.SIGTERM))
    fit(averaging(pictures), seed=3, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", averaged)
