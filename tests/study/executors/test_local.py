"""What worker processes must survive, and what cannot be sent to them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import types
from pathlib import Path

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import alive, pid_of, trials
from tests.study.executors.runs import by_trial, when
from trickbag.errors import Stopped, UserError
from trickbag.study.executors.local import Local


@pytest.mark.parametrize("cause", ["SIGKILL", "exit"])
def test_a_trial_whose_worker_dies_is_run_again(tmp_path: Path, cause: str) -> None:
    task = tasks.Die(tmp_path, "t1", 2, cause)
    result_of = by_trial(list(Local(workers=2, retries=2).run(task, trials(4))))
    assert {name: result.error for name, result in result_of.items()} == dict.fromkeys(
        ["t0", "t1", "t2", "t3"]
    )
    assert {name: result.metrics["runs"] for name, result in result_of.items()} == {
        "t0": 1,
        "t1": 3,
        "t2": 1,
        "t3": 1,
    }


@pytest.mark.parametrize(
    ("cause", "retries", "error"),
    [
        ("SIGKILL", 2, "the worker process died 3 times (SIGKILL)"),
        ("exit", 0, "the worker process died 1 time (exit code 3)"),
    ],
)
def test_a_trial_that_keeps_killing_its_worker_is_given_up(
    tmp_path: Path, cause: str, retries: int, error: str
) -> None:
    result_of = by_trial(
        list(Local(workers=1, retries=retries).run(tasks.Die(tmp_path, "t0", 9, cause), trials(3)))
    )
    assert result_of["t0"].error == error
    assert result_of["t0"].metrics == {}
    assert {result_of["t1"].error, result_of["t2"].error} == {None}
    assert (tmp_path / "t0.runs").stat().st_size == retries + 1


def test_no_process_and_no_file_is_left(tmp_path: Path) -> None:
    list(
        Local(workers=1).run(tasks.Report(), trials(1))
    )  # starts what Python keeps for all processes to come
    before = sorted(os.listdir("/proc/self/fd"))
    pids = {
        int(result.metrics["pid"] or 0)
        for result in Local(workers=2).run(tasks.Report(), trials(4))
    }
    list(Local(workers=2).run(tasks.Die(tmp_path, "t0", 1), trials(2)))
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not any(alive(pid) for pid in pids)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("end", ["close", "error"])
def test_a_caller_that_leaves_early_ends_the_workers(tmp_path: Path, end: str) -> None:
    thread = when(tmp_path / "t1.pid", (tmp_path / "t0.go").touch)
    run = Local(workers=2).run(tasks.Fit(tmp_path), trials(3))
    assert next(run).trial == "t0"
    thread.join()
    pids = [pid_of(tmp_path, name) for name in ("t1", "t2")]
    assert all(alive(pid) for pid in pids)
    assert isinstance(run, types.GeneratorType)
    if end == "close":
        run.close()
    else:
        with pytest.raises(OSError, match="disk"):
            run.throw(OSError("the disk is full"))
    assert not any(alive(pid) for pid in pids)
    assert multiprocessing.active_children() == []


def test_trials_that_do_not_stop_are_killed(tmp_path: Path) -> None:
    thread = when(tmp_path / "t0.pid", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM; 1 trial was killed in mid-run$"):
        list(Local(workers=1, grace_s=0.2).run(tasks.Ignore(tmp_path), trials(2)))
    thread.join()
    assert not alive(pid_of(tmp_path, "t0"))


def test_a_signal_to_a_worker_means_the_run(tmp_path: Path) -> None:
    thread = when(tmp_path / "t1.pid", lambda: os.kill(pid_of(tmp_path, "t0"), signal.SIGTERM))
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM; 2 trials were saved in mid-run$"):
        list(Local(workers=2).run(tasks.Fit(tmp_path), trials(3)))
    thread.join()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers = 0: must be at least 1"),
        ({"threads": 0}, "threads = 0: must be at least 1"),
        ({"retries": -1}, "retries = -1: must be at least 0"),
    ],
)
def test_wrong_settings(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Local(**wrong)  # type: ignore[arg-type]


def test_a_task_that_cannot_be_sent() -> None:
    with pytest.raises(UserError, match="cannot be sent"):
        list(Local(workers=1).run(lambda trial: tasks.finished(trial, top1=1), trials(1)))


def test_a_task_that_cannot_be_read() -> None:
    with pytest.raises(
        UserError, match=r"cannot read the task: RuntimeError: the module of the trick is not here"
    ):
        list(Local(workers=2).run(tasks.Unreadable(), trials(3)))
    assert multiprocessing.active_children() == []


def test_a_result_that_cannot_be_sent() -> None:
    result_of = by_trial(list(Local(workers=1).run(tasks.Unsendable(), trials(2))))
    assert "pickle" in (result_of["t0"].error or "")
    assert result_of["t1"].metrics == {"top1": 1.0}
