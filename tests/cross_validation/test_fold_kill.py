"""Cross-validations as commands that are killed within a fold, and go on to the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.processes import kill_driver, kill_ray_worker
from tests.builders.recipes import train_arguments
from trickbag.train.folder.fold_runs import FoldsRecord

FOLDS, EPOCHS = 3, 6


def command(source: Path, out: Path, *more: str) -> list[str]:
    arguments = train_arguments(source, out, EPOCHS)
    return [sys.executable, "-m", "trickbag", *arguments, "--folds", str(FOLDS), *more]


def written(out: Path) -> tuple[bytes, bytes]:
    return (out / "oof.csv").read_bytes(), (out / "result.json").read_bytes()


def wait_within_a_fold(out: Path, driver: subprocess.Popen[bytes]) -> None:
    """Wait until a run has a checkpoint and has not ended."""
    while driver.poll() is None:
        runs = list((out / "trials").glob("*")) if (out / "trials").exists() else []
        if any((run / "last.ckpt").exists() and not (run / "result.json").exists() for run in runs):
            return
        time.sleep(0.005)


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "folds"
    subprocess.run(command(pictures, out, "--workers", "2"), check=True, capture_output=True)
    return out


@pytest.mark.slow
def test_killed_within_a_fold_it_goes_on_with_other_workers(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "folds"
    driver = subprocess.Popen(
        command(pictures, out, "--workers", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    wait_within_a_fold(out, driver)
    kill_driver(driver)
    assert driver.returncode == -signal.SIGKILL, "it ended before it was killed"
    resume = command(pictures, out, "--resume", "--workers", "1")
    subprocess.run(resume, check=True, capture_output=True)
    assert written(out) == written(reference)


@pytest.mark.slow
def test_ray_gives_the_same_though_a_worker_is_killed(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "folds"
    driver = subprocess.Popen(
        command(pictures, out, "--executor", "ray"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    kill_ray_worker(driver, out)
    assert written(out) == written(reference)
    record, before = FoldsRecord.read(out), FoldsRecord.read(reference)
    assert record is not None
    assert before is not None
    assert record.trials == before.trials
