"""A run that goes on with another number of processes than it was begun with."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from tests.train.machine.test_parallel import wait_for
from tests.train.processes import end, start
from tests.train.test_fit import SignalAt
from tests.train.test_step import make_run
from trickbag.errors import Stopped
from trickbag.recipe import Recipe
from trickbag.train.checkpoint import Progress, load_state
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.machine.parallel import World

SEED = 3


@pytest.fixture(scope="module")
def recipe(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Images are mixed over the whole batch, and BatchNorm has no statistics of a part of it."""
    start = tmp_path_factory.mktemp("start") / "run"
    value = tiny_recipe(pictures, epochs=3).without("mixed_precision")
    fit(value.set("training.epochs", "1"), SEED, start, log=RunLog())
    return value.set_all({"training.init": str(start), "training.batch_norm": "frozen"})


def end_with(count: int, value: Recipe, file: Path, out: Path) -> None:
    """Let so many processes go on with a run to its end."""
    codes, errors = end(start(count, command(value, file, out)))
    assert (codes, errors) == ([0] * count, [])


def command(value: Recipe, file: Path, out: Path) -> list[str]:
    file.write_text(json.dumps(value.to_dict()))
    return ["-m", "trickbag", "train", str(file), "--out", str(out), "--seed", "3", "--resume"]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_training(folder: Path, reference: Path) -> None:
    """Compare what does not depend on how a batch is divided, but for rounding."""
    for line, expected in zip(lines(folder), lines(reference), strict=True):
        for name in ("train_loss", "loss"):
            assert line[name] == pytest.approx(expected[name], rel=1e-3), name
        # Each image counts once, whichever process had it: a percentage of whole images.
        assert line["train_top1"] == expected["train_top1"]
    weights, expected_weights = (
        torch.load(path / "last.ckpt", weights_only=True)["network"] for path in (folder, reference)
    )
    for name, value in expected_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-2, atol=1e-4)
    records = [json.loads((path / "recipe.json").read_text()) for path in (folder, reference)]
    assert records[0]["trial"] == records[1]["trial"]
    trials = [
        json.loads((path / "result.json").read_text())["trial"] for path in (folder, reference)
    ]
    assert trials[0] == trials[1]


@pytest.fixture(scope="module")
def unbroken(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, which nothing stopped."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    fit(recipe, SEED, out, log=RunLog())
    return out


@pytest.mark.slow
def test_one_process_then_two(recipe: Recipe, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Stopped, match=r"after step 2 of epoch 2"):
        fit(recipe, SEED, out, log=SignalAt(8, signal.SIGTERM))
    end_with(2, recipe, tmp_path / "recipe.json", out)
    note = "the run was begun with 1 process and goes on with 2"
    assert_same_training(out, unbroken)
    record = json.loads((out / "recipe.json").read_text())
    assert record["resolved"]["processes"] == 2
    warnings = json.loads((out / "result.json").read_text())["warnings"]
    assert len([text for text in warnings if note in text]) == 1


@pytest.mark.slow
def test_two_processes_then_one(recipe: Recipe, unbroken: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "run", tmp_path / "recipe.json"
    processes = start(2, command(recipe, file, out))
    wait_for(out / "last.ckpt", processes)
    processes[1].send_signal(signal.SIGTERM)
    codes, errors = end(processes)
    assert codes == [75, 75], errors
    fit(recipe, SEED, out, resume=True, log=RunLog())
    assert_same_training(out, unbroken)
    assert json.loads((out / "recipe.json").read_text())["resolved"]["processes"] == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_kill_after_the_change_changes_no_bit(recipe: Recipe, tmp_path: Path) -> None:
    folders, file = [tmp_path / name for name in ("killed", "whole")], tmp_path / "recipe.json"
    for folder in folders:
        with pytest.raises(Stopped):
            fit(recipe, SEED, folder, log=SignalAt(8, signal.SIGTERM))
    processes = start(2, command(recipe, file, folders[0]))
    before = (folders[0] / "last.ckpt").stat().st_ino
    while all(process.poll() is None for process in processes):
        if (folders[0] / "last.ckpt").stat().st_ino != before:
            break
        time.sleep(0.002)
    processes[1].kill()
    codes, errors = end(processes, timeout_s=60)
    assert codes == [1, -signal.SIGKILL], errors
    for folder in folders:
        end_with(2, recipe, file, folder)
    assert_same_run(*folders)


class OfTwo(World):
    """One of two processes, of which nothing but its place counts here."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank


@pytest.mark.parametrize(
    ("others", "size", "expected"),
    [
        ([[2.0, 3.0, 5.0, -1]], 2, [[1.0, 2.0, 4.0], [2.0, 3.0, 5.0]]),
        ([], 2, [[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]]),
        ([[2.0, 3.0, 5.0, -1], [4.0, 5.0, 6.0]], 2, [[7.0, 10.0, 15.0], [0.0, 0.0, 0.0]]),
        ([[2.0, 3.0, 5.0, -1]], 1, [[3.0, 5.0, 9.0]]),
    ],
)
def test_the_sums_of_an_epoch_are_divided_anew(
    pictures: Path, others: list[list[float]], size: int, expected: list[list[float]]
) -> None:
    worlds = [World()] if size == 1 else [OfTwo(0), OfTwo(1)]
    for world, sums in zip(worlds, expected, strict=True):
        run = make_run(pictures, model="timm:test_resnet", world=world)
        progress = Progress.start(run.device)
        for total, value in zip(
            (progress.loss_sum, progress.correct, progress.count), (1.0, 2.0, 4.0), strict=True
        ):
            total.fill_(value)
        state = {
            "network": run.network.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "progress": {**vars(progress)},
            "others": others,
        }
        assert load_state(state, run).share() == [*sums, -1]


def test_a_run_of_two_processes_goes_on_with_one(pictures: Path, tmp_path: Path) -> None:
    value = tiny_recipe(pictures, epochs=1)
    fit(value, out=tmp_path / "run", log=RunLog())
    (tmp_path / "run" / "result.json").unlink()
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    stored["resolved"] |= {"processes": 2, "threads": 7}
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(stored))
    result = fit(value, out=tmp_path / "run", resume=True, log=RunLog())
    note = "begun with 2 processes and goes on with 1: the images of each batch"
    assert [text for text in result.warnings if note in text]
    resolved = json.loads((tmp_path / "run" / "recipe.json").read_text())["resolved"]
    assert (resolved["processes"], resolved["threads"]) == (1, 1)
    assert resolved["training"]["threads"] == 1


@pytest.mark.slow
def test_more_processes_than_a_batch_can_be_shared_by(pictures: Path, tmp_path: Path) -> None:
    value = tiny_recipe(pictures, training__batch_size="2", training__accumulate="2", epochs=1)
    out = tmp_path / "run"
    fit(value, SEED, out, log=RunLog())
    (out / "result.json").unlink()
    before = (out / "recipe.json").read_bytes()
    codes, errors = end(start(2, command(value, tmp_path / "recipe.json", out)))
    assert codes == [2, 2], errors
    pattern = r"2 processes cannot share a batch of 2 images in 2 parts each .*start fewer"
    assert re.search(pattern, errors[-1])
    assert (out / "recipe.json").read_bytes() == before
