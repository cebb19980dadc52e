"""The mean of the weights of the last epochs: against torch, and what a run does with it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

from tests.builders.recipes import bare_recipe, tiny_recipe
from tests.builders.runs import assert_same_run, built
from tests.train.test_fit import SignalAt
from tests.tricks.test_ema import small_network, train_step
from trickbag.data.dataset import prepare
from trickbag.errors import DoesNotApply, Stopped, UserError
from trickbag.optim.schedule import Constant, ConstantEnd, Schedule, first_epoch
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.loaders import run_loaders
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.ema import Ema
from trickbag.tricks.swa import EpochAverage, Swa
from trickbag.tricks.trick import Timestamp

STEPS = 3


def test_the_average_is_torchs() -> None:
    network = small_network()
    ours, torchs = EpochAverage(network, start=0.4), AveragedModel(network)
    ours.begin_at(Timestamp(steps_per_epoch=STEPS, epochs=5))
    for step in range(5 * STEPS):
        train_step(network, step)
        ours.update(step)
        if (step + 1) % STEPS == 0 and step >= 2 * STEPS:
            torchs.update_parameters(network)
        assert ours.has_begun is (step >= 3 * STEPS - 1)
    assert int(torchs.n_averaged) == 3
    for name, value in torchs.module.state_dict().items():
        # torch counts by a float32 tensor, whose third is another one.
        torch.testing.assert_close(ours.network.state_dict()[name], value, rtol=1e-6, atol=1e-6)
    assert not ours.network.training
    assert not any(parameter.requires_grad for parameter in ours.network.parameters())


@pytest.mark.parametrize(("epoch", "step", "count"), [(1, 3, 0), (2, 0, 0), (2, 3, 1), (3, 0, 1)])
def test_how_many_epochs_are_in_it_follows_from_the_place(
    epoch: int, step: int, count: int
) -> None:
    average = EpochAverage(small_network(), start=0.4)
    average.begin_at(Timestamp(epoch, step, STEPS, 5))
    assert average.has_begun is (count > 0)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("anneal_epochs", [0, 1, 4])
def test_the_rate_is_that_of_swalr(anneal: Any, anneal_epochs: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    swalr = SWALR(optimizer, swa_lr=0.05, anneal_epochs=anneal_epochs, anneal_strategy=anneal)
    end = ConstantEnd(start=0.5, factor=0.25, anneal_epochs=anneal_epochs, anneal=anneal)
    schedule = Schedule(decay=Constant(), end=end)
    assert [schedule.factor(step, 1, 16) for step in range(8)] == [1.0] * 8
    for epoch in range(7):
        expected = optimizer.param_groups[0]["lr"]
        optimizer.step()
        swalr.step()
        assert 0.2 * schedule.factor(8 + epoch, 1, 16) == pytest.approx(expected, rel=1e-6), epoch


def test_the_rate_goes_on_from_the_decay_within_steps() -> None:
    schedule = Schedule(decay=Constant(), warmup_epochs=1, end=ConstantEnd(start=0.6))
    assert first_epoch(0.6, 5) == 3
    assert schedule.factor(2, 4, 5) == 0.75
    assert schedule.factor(11, 4, 5) == 1
    assert schedule.factor(12, 4, 5) == 1
    assert schedule.factor(14, 4, 5) == pytest.approx(0.75)
    assert schedule.factor(16, 4, 5) == schedule.factor(19, 4, 5) == 0.5


class Networks(RunLog):
    """Keeps the trained network after each epoch."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.states: list[dict[str, torch.Tensor]] = []

    def epoch(self, row: dict[str, Any]) -> None:
        self.states.append(torch.load(self.checkpoint, weights_only=True)["network"])


def averaging(pictures: Path, **settings: str) -> Recipe:
    recipe = tiny_recipe(pictures, epochs=3, training__keep="last").only("warmup")
    return recipe.set_all(settings).plus(Swa(start=0.3, lr=0.8))


@pytest.fixture(scope="module")
def averaged(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Networks]:
    out = tmp_path_factory.mktemp("averaged") / "run"
    log = Networks(out / "last.ckpt")
    fit(averaging(pictures), seed=3, out=out, log=log)
    return out, log


def test_a_run_keeps_what_torch_would(pictures: Path, averaged: tuple[Path, Networks]) -> None:
    out, log = averaged
    recipe = averaging(pictures)
    dataset = prepare(recipe.data)
    run, _ = built(recipe, dataset, seed=3)
    torchs = AveragedModel(run.network)
    for state in log.states[1:]:
        run.network.load_state_dict(state)
        torchs.update_parameters(run.network)
    with run_loaders(run, dataset) as loaders:
        assert loaders.statistics is not None
        images = [run.evaluation.normalise(raw.images) for raw in loaders.statistics.epoch(0)]
    update_bn(images, torchs)
    kept = load_file(out / "best.safetensors")
    for name, value in torchs.module.state_dict().items():
        torch.testing.assert_close(kept[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_until_the_average_begins_the_network_is_evaluated(
    averaged: tuple[Path, Networks],
) -> None:
    rows = [json.loads(line) for line in (averaged[0] / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] == rows[0]["raw_loss"]
    assert rows[2]["loss"] != rows[2]["raw_loss"]
    assert rows[2]["lr"] == pytest.approx(0.8 * rows[0]["lr"])


@pytest.mark.slow
@pytest.mark.parametrize("steps", [4, 8, 14])
def test_a_resumed_run_is_the_one_that_was_never_stopped(
    pictures: Path, averaged: tuple[Path, Networks], tmp_path: Path, steps: int
) -> None:
    with pytest.raises(Stopped):
        fit(averaging(pictures), seed=3, out=tmp_path / "run", log=SignalAt(steps, signal.SIGTERM))
    fit(averaging(pictures), seed=3, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", averaged[0])


def test_what_it_does_not_go_with(pictures: Path) -> None:
    with pytest.raises(UserError, match=r"swa and ema exclude each other|ema and swa exclude"):
        bare_recipe(pictures, Swa(), Ema())
    recipe = averaging(pictures)
    training = recipe.set("training.head_epochs", "1").training
    with pytest.raises(DoesNotApply, match=r"training.head_epochs = 1 are before it"):
        Swa().training(training)
    assert Swa().training(recipe.training).batch_norm == "reestimate"


def test_a_run_too_short_for_it_says_so(pictures: Path) -> None:
    recipe = averaging(pictures).plus(Swa(start=0.9))
    notes = resolve(recipe, prepare(recipe.data), 0)[1]
    assert [note.trick for note in notes if note.kind == "no_effect"] == ["swa"]
