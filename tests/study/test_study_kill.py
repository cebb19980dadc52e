"""Studies as commands that are killed: nothing that finished is lost, and nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.marks import long
from tests.builders.processes import kill_driver, kill_ray_worker, workers
from tests.builders.recipes import study_arguments
from tests.builders.studies import effects, results
from trickbag.study.folder import StudyFolder

DESIGN = ("--tricks", "mixup,label_smoothing", "--workers", "2")


def command(source: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "trickbag", *study_arguments(source, out, *more)]


def start(source: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(source, out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def wait_for_line(out: Path, driver: subprocess.Popen[bytes], lines: int = 1) -> None:
    file = out / "results.jsonl"
    while driver.poll() is None and not (file.exists() and file.read_bytes().count(b"\n") >= lines):
        time.sleep(0.01)


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "study"
    subprocess.run(command(pictures, out, *DESIGN, "--seeds", "2"), check=True, capture_output=True)
    return out


@pytest.mark.slow
def test_a_killed_driver_takes_its_workers_along_and_loses_nothing(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    driver = start(pictures, out, *DESIGN, "--seeds", "2")
    wait_for_line(out, driver)
    orphans = kill_driver(driver)
    assert orphans, "no worker was seen"
    before = (out / "results.jsonl").read_bytes()
    subprocess.run(command(pictures, out, *DESIGN, "--seeds", "2"), check=True, capture_output=True)
    assert (out / "results.jsonl").read_bytes().startswith(before)
    assert effects(out) == effects(reference)
    assert results(out) == results(reference)


@pytest.mark.slow
@pytest.mark.parametrize("number", [long(signal.SIGINT), signal.SIGTERM])
def test_a_signal_exits_with_75_and_the_same_command_goes_on(
    pictures: Path, reference: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "study"
    driver = start(pictures, out, *DESIGN, "--seeds", "2")
    wait_for_line(out, driver)
    driver.send_signal(number)
    _, err = driver.communicate()
    assert driver.returncode == 75, err
    (line,) = err.decode().splitlines()
    assert f"stopped by {number.name}" in line
    assert "the same command goes on" in line
    assert not workers(driver.pid)
    assert (out / "effects.json").exists()
    subprocess.run(command(pictures, out, *DESIGN, "--seeds", "2"), check=True, capture_output=True)
    assert effects(out) == effects(reference)
    assert results(out) == results(reference)


@pytest.mark.slow
@pytest.mark.long
def test_chaos(pictures: Path, tmp_path: Path) -> None:
    """24 trials whose driver and workers are killed 20 times, at random."""
    options = (
        "--tricks",
        "mixup,label_smoothing,warmup",
        "--workers",
        "2",
        "--seeds",
        "6",
        "--retries",
        "100",
    )
    quiet, out = tmp_path / "quiet", tmp_path / "chaos"
    subprocess.run(command(pictures, quiet, *options), check=True, capture_output=True)
    rng, kills, drivers = random.Random(0), 0, 0
    while True:
        driver = start(pictures, out, *options)
        drivers += 1
        ends = time.monotonic() + rng.uniform(2, 12)
        while driver.poll() is None and kills < 20:
            time.sleep(rng.uniform(0.1, 2.5))
            alive = workers(driver.pid)
            if time.monotonic() > ends:
                driver.kill()
                kills += 1
            elif alive:
                os.kill(rng.choice(alive), signal.SIGKILL)
                kills += 1
        _, err = driver.communicate()
        if driver.returncode == 0:
            break
        assert driver.returncode == -signal.SIGKILL, err.decode()
    assert kills == 20, "the study ended before it was killed often enough"
    assert effects(out) == effects(quiet)
    assert results(out) == results(quiet)
    assert len(results(out)) == 24
    assert not list((out / "trials").glob(".*")), "nothing half written is left"


@pytest.mark.slow
@pytest.mark.long
def test_killed_while_it_tunes_it_goes_on_with_other_workers(
    pictures: Path, tmp_path: Path
) -> None:
    tuned = ("--tricks", "mixup", "--tune", "training.lr=1x,2x", "--tune-seeds", "1")
    quiet, out = tmp_path / "quiet", tmp_path / "study"
    options = (*tuned, "--seeds", "2", "--workers", "2")
    subprocess.run(command(pictures, quiet, *options), check=True, capture_output=True)
    driver = start(pictures, out, *options)
    wait_for_line(out, driver)
    driver.kill()
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL, "it ended before it was killed"
    stored = StudyFolder(out).read_study()
    assert stored is not None
    assert stored.tuning is not None
    assert not all(arm.tuned for arm in stored.tuning.arms), "the tuning had ended"
    rest = (*tuned, "--seeds", "2", "--workers", "1")
    subprocess.run(command(pictures, out, *rest), check=True, capture_output=True)
    assert effects(out) == effects(quiet)
    assert results(out) == results(quiet)
    records = [StudyFolder(folder).read_study() for folder in (out, quiet)]
    assert [record and record.tuning for record in records] == [
        records[1] and records[1].tuning
    ] * 2


@pytest.mark.slow
def test_killed_within_a_fold_a_study_goes_on_with_other_workers(
    pictures: Path, tmp_path: Path
) -> None:
    quiet, out = tmp_path / "quiet", tmp_path / "study"
    options = ("--tricks", "mixup", "--folds", "3")
    undisturbed = command(pictures, quiet, *options, "--workers", "2")
    subprocess.run(undisturbed, check=True, capture_output=True)
    driver = start(pictures, out, *options, "--workers", "2")
    wait_for_line(out, driver)
    driver.kill()
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL, "it ended before it was killed"
    # The folder knows how the data are divided.
    rest = command(pictures, out, "--tricks", "mixup", "--workers", "1")
    subprocess.run(rest, check=True, capture_output=True)
    assert effects(out) == effects(quiet)
    assert results(out) == results(quiet)


@pytest.mark.slow
def test_ray_gives_the_same_study_though_a_worker_is_killed(
    pictures: Path, reference: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "study"
    options = (*DESIGN, "--seeds", "2", "--executor", "ray")
    driver = start(pictures, out, *options)
    kill_ray_worker(driver, out)
    assert effects(out) == effects(reference)
    assert results(out) == results(reference)
