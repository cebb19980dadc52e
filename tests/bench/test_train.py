"""`bench train`: the steps are those of a run, and their parts are all of their time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from tests.builders.recipes import tiny_recipe, train_arguments
from trickbag.bench.train import PARTS, StepSpeed, _StepTimer, _take_step, bench_train
from trickbag.data.dataset import prepare
from trickbag.errors import RunFailed
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.loaders import train_loader
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run


def ticks() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read: no test is about real time."""
    seconds = count()
    return lambda: float(next(seconds))


def measured(pictures: Path, **settings: str) -> StepSpeed:
    recipe = tiny_recipe(pictures, **settings)
    return bench_train(recipe, prepare(recipe.data), seconds=1.0, clock=ticks())


def test_a_step_and_its_parts(pictures: Path) -> None:
    speed = measured(pictures, training__precision="float32")
    assert list(speed.parts_ms) == list(PARTS)
    assert all(part_ms >= 1000 for part_ms in speed.parts_ms.values())
    # Two laps end in `tricks`, one when the batch is there and one behind the teachers.
    assert speed.parts_ms["loading"] == speed.parts_ms["optimizer"] == 1000
    assert speed.bottleneck == max(speed.parts_ms, key=lambda part: speed.parts_ms[part])
    assert speed.images_per_s == 8 * 4  # four steps of 8 images between two readings
    assert (speed.batch_size, speed.image_size, speed.threads) == (8, 16, 1)
    data = json.loads(json.dumps(speed.to_dict()))
    assert data["parts_ms"] == speed.parts_ms
    assert data["images_per_s_range"] == [32, 32]


def test_parts_of_divided_batches(pictures: Path) -> None:
    speed = measured(pictures, training__accumulate="2")
    assert speed.parts_ms["backward"] >= 2000  # one of each micro-batch
    assert all(part_ms >= 1000 for part_ms in speed.parts_ms.values())


@pytest.fixture
def run(pictures: Path) -> Run:
    recipe = tiny_recipe(pictures)
    dataset = prepare(recipe.data)
    plan, _ = resolve(recipe, dataset, 0)
    return build(plan, recipe.tricks, dataset)[0]


def test_watched_steps_are_the_steps_of_the_run(run: Run, pictures: Path) -> None:
    dataset = prepare(tiny_recipe(pictures).data)
    initial = copy.deepcopy(run.network.state_dict())
    state = copy.deepcopy(run.optimizer.state_dict())
    watched = _StepTimer(run, ticks())._watched
    weights = []
    with train_loader(run.plan, dataset.train, run.pipeline.preprocessing) as loader:
        (raw, *_) = loader.epoch(0)
        for each in (run, watched):
            run.network.load_state_dict(initial)
            run.optimizer.load_state_dict(copy.deepcopy(state))
            progress = Progress.start(run.device)
            for _ in range(3):
                _take_step(each, raw, progress)
            weights.append(copy.deepcopy(run.network.state_dict()))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_loss_that_is_not_finite_is_no_measurement(pictures: Path) -> None:
    recipe = tiny_recipe(pictures, training__lr="1e30").without("warmup", "linear_scaling")
    with pytest.raises(RunFailed, match="the loss is not finite"):
        bench_train(recipe, prepare(recipe.data), seconds=1.0, clock=ticks())


def test_the_command(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trickbag.cli import main

    arguments = train_arguments(pictures, tmp_path / "out", epochs=1)
    options = arguments[arguments.index("--out") + 2 :] + arguments[1 : arguments.index("--out")]
    command = ["bench", "train", *options, "--seconds", "0.01"]
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["bottleneck"] in data["parts_ms"]
    assert data["images_per_s"] > 0
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "bottleneck: " in out
    assert all(f"\n{part} " in out for part in PARTS)
    assert not (tmp_path / "out").exists()
