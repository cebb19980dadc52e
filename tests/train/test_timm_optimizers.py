"""Runs with optimizers of timm: every one goes on from its checkpoint bit for bit."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

import pytest
import torch

import trickbag as tb
from tests.builders.marks import long
from tests.builders.recipes import bare_recipe, tiny_recipe
from tests.builders.runs import assert_same_run
from tests.train.test_fit import SignalAt
from tests.train.test_step import make_run, one_step, raw_batch
from trickbag.data.dataset import prepare
from trickbag.errors import Stopped, UserError
from trickbag.optim.optimizers import TimmOptimizer
from trickbag.optim.timm_optimizers import optimizer_names
from trickbag.train import checkpoint
from trickbag.train.folder.log import RunLog
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.tricks.layer_decay import LayerDecay
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.sam import Sam

FAST = ("lamb", "muon", "adafactorbv")
"""The usual one, one with two kinds of state, one with factors and half precision."""


def run_with(pictures: Path, name: str, **changes: str) -> Run:
    tricks = (NoBiasDecay(), LayerDecay(), Sam())
    settings = {"training.optimizer": f"timm:name={name}", "training.clip_norm": "1"} | changes
    return make_run(pictures, *tricks, model="timm:test_resnet", accumulate=2, rows=16, **settings)


def state_of(run: Run) -> list[torch.Tensor]:
    tensors = [tensor for _, tensor in sorted(run.network.state_dict().items())]
    for values in run.optimizer.state_dict()["state"].values():
        tensors += [value for value in values.values() if isinstance(value, torch.Tensor)]
    return tensors


@pytest.mark.parametrize("name", FAST)
def test_it_goes_on_from_its_checkpoint(pictures: Path, tmp_path: Path, name: str) -> None:
    assert_goes_on(pictures, tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [long(name) for name in optimizer_names() if name not in FAST])
def test_every_one_goes_on_from_its_checkpoint(pictures: Path, tmp_path: Path, name: str) -> None:
    assert_goes_on(pictures, tmp_path, name)


def assert_goes_on(pictures: Path, tmp_path: Path, name: str) -> None:
    run, raw, file = run_with(pictures, name), raw_batch(16), tmp_path / "last.ckpt"
    for _ in range(2):
        _, progress = one_step(run, raw)
    checkpoint.save(file, run, progress, "trial")
    before = [tensor.clone() for tensor in state_of(run)]
    resumed = run_with(pictures, name)
    checkpoint.restore(file, resumed, "trial", way_out="")
    for _ in range(2):
        one_step(run, raw)
        one_step(resumed, raw)
    expected, states = state_of(run), state_of(resumed)
    assert len(expected) == len(states)
    assert all(torch.equal(a, b) for a, b in zip(expected, states, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, states, strict=True))
    assert all(tensor.isfinite().all() for tensor in states)


def test_state_of_another_form_is_refused(pictures: Path, tmp_path: Path) -> None:
    run, file = run_with(pictures, "muon"), tmp_path / "last.ckpt"
    _, progress = one_step(run, raw_batch(16))
    checkpoint.save(file, run, progress, "trial")
    state = torch.load(file, weights_only=True)
    del state["has_checksum"]
    place = next(i for i, kept in state["optimizer"]["state"].items() if "exp_avg" in kept)
    state["optimizer"]["state"][place] = {"momentum_buffer": torch.zeros(1)}
    torch.save(state, file)
    with pytest.raises(UserError, match=rf"optimizer.state\[{place}\] = .*exp_avg"):
        checkpoint.restore(file, run, "trial", way_out="")


@pytest.mark.slow
def test_a_run_that_is_stopped_and_resumed(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures, epochs=2, **{"training.optimizer": "timm:name=lamb"})
    recipe = recipe.set("training.lr", "0.005")
    tb.fit(recipe, 0, tmp_path / "whole", log=RunLog())
    with pytest.raises(Stopped):
        tb.fit(recipe, 0, tmp_path / "run", log=SignalAt(8, signal.SIGTERM))
    tb.fit(recipe, 0, tmp_path / "run", resume=True, log=RunLog())
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_wrong_name_ends_before_anything_is_built(pictures: Path) -> None:
    recipe = bare_recipe(pictures, **{"training.optimizer": "timm:name=lamp"})
    with pytest.raises(UserError, match="did you mean lamb"):
        resolve(recipe, prepare(recipe.data), seed=0)


def test_the_settings_of_an_optimizer_are_part_of_the_recipe(pictures: Path) -> None:
    recipe = bare_recipe(pictures, **{"training.optimizer": "timm:name=lamb,trust_clip=true"})
    assert type(recipe).from_dict(recipe.to_dict()) == recipe
    plain = dataclasses.replace(
        recipe,
        training=dataclasses.replace(recipe.training, optimizer=TimmOptimizer(name="lamb")),
    )
    assert plain.id != recipe.id
