"""Searches as commands that are killed or stopped: they go on to the same end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.builders.marks import long
from tests.builders.recipes import train_arguments

pytestmark = pytest.mark.slow

CASES = {
    "density": ["autoaugment", "--trials", "32"],
    "random": ["autoaugment", "--trials", "10", "--controller", "random"],
    "scaling": ["scaling", "--trials", "6"],
}


def command(name: str, source: Path, out: Path) -> list[str]:
    kind, *more = CASES[name]
    _, *options = train_arguments(source, out, epochs=1)
    return [sys.executable, "-m", "trickbag", "search", kind, *options, "--folds", "2", *more]


def search_result(out: Path) -> dict[str, Any]:
    """What a search leaves, without what is measured."""
    candidates = json.loads((out / "candidates.json").read_text())
    name = "scaling.json" if (out / "scaling.json").exists() else "policy.json"
    best = json.loads((out / name).read_text())
    for member in best.get("family", ()):
        del member["throughput"]
    return {"candidates": candidates, "best": best}


@pytest.fixture(scope="module", params=["density", *map(long, ("random", "scaling"))])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def reference(name: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "search"
    alone = [*command(name, pictures, out), "--workers", "1"]
    subprocess.run(alone, check=True, capture_output=True)
    return out


def test_a_killed_search_goes_on_to_the_same_end_with_more_workers(
    name: str, reference: Path, pictures: Path, tmp_path: Path
) -> None:
    out, rng = tmp_path / "search", random.Random(0)
    two_workers = [*command(name, pictures, out), "--workers", "2"]
    for lines in (1, 4):
        driver = subprocess.Popen(two_workers, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        results = out / "results.jsonl"
        while driver.poll() is None and (
            not results.exists() or results.read_bytes().count(b"\n") < lines
        ):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        driver.kill()
        driver.communicate()
    subprocess.run(two_workers, check=True, capture_output=True)
    assert search_result(out) == search_result(reference)
    trials = [json.loads(line)["trial"] for line in results.read_text().splitlines()]
    assert len(trials) == len(set(trials))


def test_a_signal_exits_with_75(name: str, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    driver = subprocess.Popen(
        command(name, pictures, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while driver.poll() is None and not (out / "results.jsonl").exists():
        time.sleep(0.01)
    driver.send_signal(signal.SIGTERM)
    _, error = driver.communicate()
    assert driver.returncode == 75, error.decode()
    assert b"goes on in" in error
