"""Whole runs: the tests of the GPU, train and resume bit for bit, and a study on one device."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gpu.check import Check
from trials import ROOT
from trickbag.errors import Stopped
from trickbag.recipe import Recipe
from trickbag.train.compile_cache import CompileCache
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

__all__ = ["resume", "study", "tests"]


_OUTCOME = re.compile(r"(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)")
"""What pytest -v writes of each test as it ends."""


def tests(check: Check) -> list[dict[str, Any]]:
    """Run the tests with the marker `gpu`; return how many passed, failed and were skipped.

    If the time runs out the counts are those of the tests that have ended: `finished` is false.
    """
    check.folder.mkdir(parents=True)
    files = [
        str(file)
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if "mark.gpu" in file.read_text(encoding="utf-8")
        and (not check.tiny or file.name == "test_gpu.py")
    ]
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider"]
    # A test file whose libraries are not here is an error of its own.
    command += ["--continue-on-collection-errors", f"--basetemp={check.folder / 'pytest'}"]
    log, started = check.folder / "tests.txt", time.perf_counter()
    finished = True
    with log.open("w") as output:
        try:
            code = subprocess.run(
                [*command, *files],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, check.left_s - 5),
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code, finished = 0, False
    text = log.read_text(errors="replace")
    outcomes = dict(_OUTCOME.findall(text))
    if code not in (0, 1) and not outcomes:
        raise RuntimeError((text.strip().splitlines() or ["pytest wrote nothing"])[-1])
    kinds = ("PASSED", "FAILED", "ERROR", "SKIPPED")
    counts = {kind.lower(): list(outcomes.values()).count(kind) for kind in kinds}
    row = {
        "finished": finished,
        **counts,
        "seconds": time.perf_counter() - started,
        # With the first line of the reason, from the summary at the end.
        "reasons": re.findall(r"^(?:FAILED|ERROR) .*", text, flags=re.MULTILINE),
    }
    check.leave([row])
    if counts["failed"] + counts["error"]:
        raise RuntimeError(f"{counts['failed'] + counts['error']} tests failed")
    return [row]


class _StopsAfter(RunLog):
    """Stops a run after some steps, as SIGTERM does."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        signal.raise_signal(signal.SIGTERM)


def resume(check: Check) -> list[dict[str, Any]]:
    """Train three times with each setting, the third stopped and resumed; compare the weights.

    `same_bits` of the run again and of the resumed one; else how far their weights are from the
    first one's, as a share of their own length.
    """
    rows: list[dict[str, Any]] = []
    for deterministic in ("true", "false"):
        for mode in check.modes:
            recipe = check.recipe(training__compile=mode, training__deterministic=deterministic)
            folder = check.folder / f"{mode}-{deterministic}"
            started, cache = time.perf_counter(), CompileCache()
            result = fit(recipe, out=folder / "first", log=RunLog(), compile_cache=cache)
            # Compiled once for both; the third compiles anew, as a resumed run does.
            fit(recipe, out=folder / "again", log=RunLog(), compile_cache=cache)
            stopped = _stopped_and_resumed(recipe, folder / "resumed")
            row = {
                "compiled": mode == "on",
                "deterministic": deterministic == "true",
                "images_per_s": result.metrics["train_throughput"],
                "top1": result.metrics["top1"],
                "stopped": stopped,
                "seconds": time.perf_counter() - started,
            }
            for name in ("again", "resumed"):
                row[name] = _compared(folder / "first", folder / name)
            rows.append(row)
            check.leave(rows)
    return rows


def _stopped_and_resumed(recipe: Recipe, out: Path) -> bool:
    """Train a run that is stopped after some steps, and resume it; tell whether it was stopped."""
    stopped = False
    try:
        fit(recipe, out=out, log=_StopsAfter(5))
    except Stopped:
        stopped = True
    fit(recipe, out=out, resume=True, log=RunLog())
    return stopped


def _compared(first: Path, second: Path) -> dict[str, Any]:
    expected, weights = (load_file(folder / "best.safetensors") for folder in (first, second))
    difference = torch.stack(
        [(weights[name].double() - value.double()).norm() for name, value in expected.items()]
    ).norm()
    length = torch.stack([value.double().norm() for value in expected.values()]).norm()
    same = all(torch.equal(weights[name], value) for name, value in expected.items())
    return {"same_bits": same, "relative_difference": float(difference / length)}


def study(check: Check) -> list[dict[str, Any]]:
    """Run a study of two trials on one device, one after the other, then both at once."""
    rows: list[dict[str, Any]] = []
    for workers in (1, 2):
        out = check.folder / str(workers)
        check.folder.mkdir(parents=True, exist_ok=True)
        recipe = check.folder / f"recipe{workers}.json"
        recipe.write_text(json.dumps(check.recipe(training__compile="off").to_dict()))
        command = [sys.executable, "-m", "trickbag", "study", str(recipe)]
        command += ["--design", "leave-one-out", "--tricks", "label_smoothing", "--seeds", "1"]
        command += ["--workers", str(workers), "--out", str(out)]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode:
            raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
        lines = (out / "results.jsonl").read_text().splitlines()
        results = [json.loads(line) for line in lines]
        row = {
            "workers": workers,
            "seconds": time.perf_counter() - started,
            "trials": {each["label"]: each["metrics"]["top1"] for each in results},
            "errors": [each["error"] for each in results if each["error"]],
            "device": [each["environment"]["gpu"] for each in results],
        }
        rows.append(row)
        check.leave(rows)
    return rows
