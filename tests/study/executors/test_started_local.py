"""Worker processes that start before there is a task."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.builders.recipes import study_arguments
from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import alive, trials
from trickbag.cli import main
from trickbag.study.executors.local import Local, StartedLocal


def pids(started: StartedLocal) -> set[int]:
    return {worker.process.pid for worker in started.workers if worker.process.pid is not None}


def leave_early(left: set[int]) -> None:
    with Local(workers=1).started() as started:
        left |= pids(started)
        raise ZeroDivisionError


def test_the_first_run_has_the_started_processes_and_the_next_has_its_own() -> None:
    with Local(workers=2).started() as started:
        first = pids(started)
        assert (len(first), started.machine) == (2, Local(workers=2).machine)
        results = list(started.run(tasks.Report(), trials(6)))
        assert {result.metrics["pid"] for result in results} <= first
        assert started.workers == []
        assert not any(alive(pid) for pid in first)
        again = list(started.run(tasks.Report(), trials(2)))
        assert len(again) == 2
        assert not {result.metrics["pid"] for result in again} & first


def test_the_initializer_runs_in_the_process_and_may_fail() -> None:
    with Local(workers=1).started(tasks.mark_environment) as started:
        (result,) = started.run(tasks.Report(), trials(1))
    assert result.environment["INITIALIZED_IN"] == str(result.metrics["pid"])
    with Local(workers=1).started(tasks.fail_to_import) as started:
        (result,) = started.run(tasks.Report(), trials(1))
    assert result.error is None


def test_processes_that_no_run_takes_end_with_the_block() -> None:
    with Local(workers=3).started() as started:
        three = pids(started)
        (result,) = started.run(tasks.Report(), trials(1))
        assert result.metrics["pid"] in three
        assert len(pids(started)) == 2
    assert not any(alive(pid) for pid in three)
    left: set[int] = set()
    with pytest.raises(ZeroDivisionError):
        leave_early(left)
    assert len(left) == 1
    assert not any(alive(pid) for pid in left)


def test_a_started_process_that_died_is_replaced() -> None:
    with Local(workers=1).started() as started:
        (dead,) = pids(started)
        os.kill(dead, signal.SIGKILL)
        started.workers[0].process.join()
        results = list(started.run(tasks.Report(), trials(2)))
    assert [result.error for result in results] == [None, None]
    assert dead not in {result.metrics["pid"] for result in results}


@pytest.mark.slow
def test_a_study_that_is_finished_starts_no_process(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "study"
    command = study_arguments(pictures, out, "--tricks", "mixup", "--seeds", "1", "--workers", "1")
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()

    def refuse(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(Local, "_start_worker", refuse)
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == lines[-1]
    with pytest.raises(AssertionError, match="a process was started"):
        main([*command, "--add-seeds", "1"])
