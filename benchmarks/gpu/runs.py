"""Whole runs: the tests of the GPU, train and resume bit for bit, and a study on one device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from safetensors.torch import load_file

from gpu.check import Check
from trials import ROOT
from trickbag.errors import Stopped
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

__all__ = ["resume", "study", "tests"]


def tests(check: Check) -> list[dict[str, Any]]:
    """Run the tests with the marker `gpu`; return how many passed, failed and were skipped."""
    check.folder.mkdir(parents=True)
    report = check.folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    files = ["tests/train/test_gpu.py"] if check.tiny else ["tests"]
    command += [f"--basetemp={check.folder / 'pytest'}", f"--junitxml={report}", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    counts = {key: int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")}
    # A name alone would not say why: the first line of what failed does.
    failed = [
        f"{case.attrib['name']}: {problem.attrib.get('message', '').splitlines()[:1]}"
        for case in suite.iter("testcase")
        for problem in (*case.iter("failure"), *case.iter("error"))
    ]
    return [counts | {"seconds": float(suite.attrib["time"]), "failed": failed}]


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
    for mode in check.modes:
        for deterministic in ("true", "false"):
            recipe = check.recipe(training__compile=mode, training__deterministic=deterministic)
            folder = check.folder / f"{mode}-{deterministic}"
            started = time.perf_counter()
            result = fit(recipe, out=folder / "first", log=RunLog())
            fit(recipe, out=folder / "again", log=RunLog())
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
