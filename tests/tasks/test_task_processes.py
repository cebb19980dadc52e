"""Runs of every task in real processes: two that train one run, and one that is killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.tasks import TASKS
from tests.train.processes import end, start
from trickbag.evaluate import Trained, evaluate
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

pytestmark = pytest.mark.slow


def command(recipe: Recipe, file: Path, out: Path) -> list[str]:
    file.write_text(json.dumps(recipe.to_dict()))
    options = ["--out", str(out), "--seed", "3", "--resume"]
    return ["-m", "trickbag", "train", str(file), *options]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def network(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(folder / "last.ckpt", weights_only=True)[
        "network"
    ]
    return weights


def test_two_processes_train_and_evaluate_as_one(recipe: Recipe, name: str, tmp_path: Path) -> None:
    shared = recipe.set_all({"training.accumulate": "1", "training.batch_size": "2"})
    codes, errors = end(start(2, command(shared, tmp_path / "recipe.json", tmp_path / "two")))
    assert codes == [0, 0], errors
    # Each process has a part of the batch, as each micro-batch is one.
    fit(shared.set_all({"training.accumulate": "2"}), 3, tmp_path / "one", log=RunLog())
    expected = network(tmp_path / "one")
    for key, value in network(tmp_path / "two").items():
        # The statistics are those of the first process alone.
        if "running" not in key and "tracked" not in key:
            assert torch.equal(value, expected[key]), key
    for line, other in zip(lines(tmp_path / "two"), lines(tmp_path / "one"), strict=True):
        assert line["train_loss"] == pytest.approx(other["train_loss"], rel=1e-6)
    # The images of a part are divided, and each counts once.
    result = json.loads((tmp_path / "two" / "result.json").read_text())
    trained = Trained.load(tmp_path / "two", "cpu")
    alone = evaluate(trained)
    assert {key: result["metrics"][key] for key in alone.metrics} == dict(alone.metrics)
    assert result["intervals"] == {key: list(ends) for key, ends in alone.intervals.items()}
    assert alone.validation is not None
    assert alone.shown is not None
    stored = alone.validation.stored(alone.shown, trained.classes)
    assert stored is not None
    assert (tmp_path / "two" / TASKS[name].predictions).read_bytes() == stored.content


def test_a_run_that_is_killed_at_random_goes_on_to_the_same_bits(
    recipe: Recipe, reference: Path, name: str, tmp_path: Path
) -> None:
    out, rng, kills = tmp_path / "run", random.Random(0), 0
    arguments = [sys.executable, *command(recipe, tmp_path / "recipe.json", out)]
    while True:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # From the moment on when it trains: what comes before is the same for all tasks.
        while kills < 4 and process.poll() is None and not (out / "recipe.json").exists():
            time.sleep(0.002)
        try:
            _, error = process.communicate(timeout=rng.uniform(0.1, 6) if kills < 4 else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, error.decode()
        break
    for file in ("best.safetensors", TASKS[name].predictions):
        assert (out / file).read_bytes() == (reference / file).read_bytes()
    results = [
        json.loads((folder / "result.json").read_text())["metrics"] for folder in (out, reference)
    ]
    times = ("time", "throughput", "memory")
    left, right = (
        {key: value for key, value in each.items() if not any(t in key for t in times)}
        for each in results
    )
    assert left == right
