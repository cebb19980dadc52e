"""What every executor must do, from one table."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import trials
from tests.study.executors.runs import RAY, by_trial, until_stopped, when
from trickbag.study.executors import Executor
from trickbag.study.executors.inline import Inline
from trickbag.study.executors.local import Local
from trickbag.study.executors.ray import Ray

EXECUTORS = [
    pytest.param(Inline(), 1, id="inline"),
    pytest.param(Local(workers=1), 1, id="local-1"),
    pytest.param(Local(workers=2), 2, id="local-2"),
    pytest.param(Ray(cpus=1), 2, id="ray", marks=RAY),
    pytest.param(Ray(workers=1), 1, id="ray-1", marks=RAY),
]
"""Each executor with the number of trials that it runs at a time; a new executor is added here."""

every_executor = pytest.mark.parametrize(("executor", "at_a_time"), EXECUTORS)

RAY_CORES = 2
"""The cores of the Ray that all of these tests share."""


@pytest.fixture(scope="module")
def ray_of_two_cores() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    before = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=RAY_CORES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def _ray(request: pytest.FixtureRequest) -> None:
    if (
        request.node.get_closest_marker("parametrize")
        and "ray" in request.node.name.partition("[")[2]
    ):
        request.getfixturevalue("ray_of_two_cores")


@every_executor
def test_one_result_for_each_trial(executor: Executor, at_a_time: int) -> None:
    five_trials = trials(5)
    result_of = by_trial(list(executor.run(tasks.Report(), five_trials)))
    assert set(result_of) == {trial.id for trial in five_trials}
    for trial in five_trials:
        result = result_of[trial.id]
        assert (result.label, result.seed, result.error) == (trial.label, trial.seed, None)
        assert result.metrics["main"], "a task can only catch signals in the main thread"


@every_executor
def test_processes_are_kept_from_trial_to_trial(executor: Executor, at_a_time: int) -> None:
    # Ray keeps a process a core, and may take another of them before it has taken back the one that
    # just ended a task.
    kept = RAY_CORES if isinstance(executor, Ray) else at_a_time
    results = list(executor.run(tasks.Report(), trials(6)))
    assert len({result.metrics["pid"] for result in results}) <= kept, (
        "more processes than are kept"
    )
    assert max(result.metrics["nth"] or 0 for result in results) >= 6 / kept


@every_executor
def test_no_trial_no_result(executor: Executor, at_a_time: int) -> None:
    assert list(executor.run(tasks.Report(), [])) == []


@every_executor
def test_an_error_is_a_result_and_the_rest_goes_on(executor: Executor, at_a_time: int) -> None:
    result_of = by_trial(list(executor.run(tasks.Fail(), trials(6))))
    assert {name: result.error for name, result in result_of.items()} == {
        "t0": "the loss is not finite at step 7",
        "t1": "ValueError: no such thing",
        "t2": "SystemExit: 4",
        "t3": "KeyError",
        "t4": None,
        "t5": None,
    }
    assert (result_of["t1"].metrics, result_of["t1"].label, result_of["t1"].seed) == (
        {},
        "-trick1",
        1,
    )


@every_executor
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_and_the_next_one_goes_on(
    executor: Executor, at_a_time: int, number: signal.Signals, tmp_path: Path
) -> None:
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    (tmp_path / "t0.go").touch()
    # The first trial ends by itself, so that of those that run at once the last is this one.
    thread = when(tmp_path / f"t{at_a_time}.pid", lambda: os.kill(os.getpid(), number))
    results, stopped = until_stopped(executor.run(tasks.Fit(tmp_path), trials(4)))
    thread.join()
    assert [result.trial for result in results] == ["t0"]
    assert stopped.exit_code == 75
    running = [f"t{i}" for i in range(1, at_a_time + 1)]
    assert sorted(path.stem for path in tmp_path.glob("*.saved")) == running
    were = "1 trial was" if at_a_time == 1 else f"{at_a_time} trials were"
    assert str(stopped) == f"stopped by {number.name}; {were} saved in mid-run"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers

    (tmp_path / "go").touch()
    again = by_trial(list(executor.run(tasks.Fit(tmp_path), trials(4))))
    assert {name for name, result in again.items() if result.metrics["start"]} == set(running)


@every_executor
def test_a_result_that_comes_while_stopping_is_kept(
    executor: Executor, at_a_time: int, tmp_path: Path
) -> None:
    thread = when(tmp_path / f"t{at_a_time - 1}.pid", lambda: os.kill(os.getpid(), signal.SIGTERM))
    results = list(executor.run(tasks.EndDespiteSignal(tmp_path), trials(at_a_time)))
    thread.join()
    assert by_trial(results).keys() == {f"t{i}" for i in range(at_a_time)}


@every_executor
def test_a_signal_while_the_caller_stores_a_result(
    executor: Executor, at_a_time: int, tmp_path: Path
) -> None:
    (tmp_path / "t0.go").touch()
    stored, stopped = until_stopped(
        executor.run(tasks.Fit(tmp_path), trials(4)),
        lambda result: os.kill(os.getpid(), signal.SIGINT),
    )
    assert [result.trial for result in stored] == ["t0"]
    assert str(stopped).startswith("stopped by SIGINT")


@every_executor
def test_settings_do_not_change_and_are_sent(executor: Executor, at_a_time: int) -> None:
    assert pickle.loads(pickle.dumps(executor)) == executor
    assert executor.machine.workers >= 1
    assert executor.machine.threads >= 1
