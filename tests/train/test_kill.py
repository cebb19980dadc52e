"""Kill real processes at any moment; the run that is resumed must be the run that was never
interrupted."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.marks import long
from tests.builders.recipes import train_arguments
from tests.builders.runs import assert_same_run

DROPPING = ["--with", "dropout", "--with", "stochastic_depth", "--with", "drop_block"]
"""Layers that draw for themselves, too."""


def command(source: Path, out: Path, epochs: int = 4, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "trickbag",
        *train_arguments(source, out, epochs),
        "--seed",
        "3",
        "--resume",
        *more,
    ]


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "run"
    subprocess.run(command(pictures, out), check=True, capture_output=True)
    return out


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern",
    [
        ".last.ckpt.*",
        "best.safetensors",
        *map(long, ("recipe.json", "metrics.jsonl", "last.ckpt")),
    ],
)
def test_killed_when_a_file_appears(
    pictures: Path, reference: Path, tmp_path: Path, pattern: str
) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(pictures, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not (out.exists() and list(out.glob(pattern))):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (out / "result.json").exists()
    subprocess.run(command(pictures, out), check=True, capture_output=True)
    assert_same_run(out, reference)


@pytest.fixture(scope="module")
def long_reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "run"
    subprocess.run(command(pictures, out, 12, *DROPPING), check=True, capture_output=True)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "most"), [(0, 3), *(long(seed, 8) for seed in (0, 1, 2, 3))])
def test_killed_at_random_moments(
    pictures: Path, long_reference: Path, tmp_path: Path, seed: int, most: int
) -> None:
    out, rng, kills = tmp_path / "run", random.Random(seed), 0
    while True:
        arguments_ = command(pictures, out, 12, *DROPPING)
        process = subprocess.Popen(arguments_, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, err = process.communicate(timeout=rng.uniform(0.1, 9) if kills < most else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, err.decode()
        break
    assert_same_run(out, long_reference)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, long(signal.SIGINT)])
def test_a_signal_exits_with_75(
    pictures: Path, reference: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(pictures, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    wait_for(out / "last.ckpt", process)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 75
    lines = err.decode().splitlines()
    assert len(lines) == 1, lines
    assert f"stopped by {number.name}" in lines[0]
    assert "--resume" in lines[0]
    subprocess.run(command(pictures, out), check=True, capture_output=True)
    assert_same_run(out, reference)
