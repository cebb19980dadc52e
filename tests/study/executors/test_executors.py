"""What every executor must do, from one table; and what worker processes must survive."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import pickle
import signal
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import alive, pid_of, trials, wait_for
from trickbag.data.cores import usable_cores
from trickbag.errors import Stopped, UserError
from trickbag.study.executors import Executor
from trickbag.study.executors.devices import cuda_devices, listed_devices
from trickbag.study.executors.inline import Inline
from trickbag.study.executors.local import Local
from trickbag.study.executors.ray import Ray
from trickbag.train.folder.result import Result

HAS_RAY = importlib.util.find_spec("ray") is not None
RAY = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_RAY, reason="ray is not installed"),
    # What ray itself leaves open and how it warns of its own changes is not ours.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

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


def when(path: Path, then: Callable[[], None]) -> threading.Thread:
    """Do something, from another thread, once a file is there."""

    def wait_and_do() -> None:
        wait_for(path)
        then()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


def by_trial(results: list[Result]) -> dict[str, Result]:
    result_of = {result.trial: result for result in results}
    assert len(result_of) == len(results), "a trial has two results"
    return result_of


def until_stopped(
    run: Iterator[Result], store: Callable[[Result], None] = lambda result: None
) -> tuple[list[Result], Stopped]:
    """Take results until the run is stopped; return them, and what it raised."""
    results = []
    try:
        for result in run:
            store(result)
            results.append(result)
    except Stopped as stopped:
        return results, stopped
    pytest.fail("nothing stopped the run")


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


def test_workers_share_cores_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = dict(os.environ)
    local = Local(workers=2, threads=3, devices=("5", "GPU-ab"))
    results = list(local.run(tasks.Report(), trials(4)))
    assert dict(os.environ) == before
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    assert {result.environment[name] for result in results for name in names} == {"3"}
    device = {
        result.metrics["pid"]: result.environment["CUDA_VISIBLE_DEVICES"] for result in results
    }
    assert sorted(device.values()) in (["5", "GPU-ab"], ["5"], ["GPU-ab"])
    monkeypatch.delenv("OMP_NUM_THREADS")
    alone = next(iter(Local(workers=1, devices=()).run(tasks.Report(), trials(1))))
    assert "CUDA_VISIBLE_DEVICES" not in alone.environment
    assert alone.environment["OMP_NUM_THREADS"] == str(usable_cores())


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores and no device, and an environment that names no number of threads."""
    for module in ("local", "ray"):
        monkeypatch.setattr(f"trickbag.study.executors.{module}.usable_cores", lambda: 8)
        monkeypatch.setattr(f"trickbag.study.executors.{module}.cuda_devices", lambda: ())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def executors_of_any_size() -> list[Executor]:
    ray = [Ray(cpus=2), Ray(cpus=2, workers=1)] if HAS_RAY else []
    return [*(Local(workers=n) for n in (1, 2, 8, 16)), Local(), *ray]


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "2"}, 2),
        # As PyTorch reads them.
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "1"}, 1),
        ({"MKL_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "2,1"}, 2),
    ],
)
def test_threads_that_are_set_hold_for_any_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert {executor.machine.threads for executor in executors_of_any_size()} == {threads}
    # So many workers as have cores for their threads.
    assert Local().machine.workers == 8 // threads


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize("value", [None, "", "0", "many", "-1"])
def test_threads_that_are_not_set_are_a_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    executors = executors_of_any_size()
    assert [executor.machine.threads for executor in executors] == [8, 4, 1, 1, 1, 2, 2][
        : len(executors)
    ]


@pytest.mark.usefixtures("eight_cores")
def test_what_an_executor_says_counts_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert Local(workers=2, threads=3).machine.threads == 3
    # Ray gives a trial no more than the cores that it sets aside for it.
    if HAS_RAY:
        assert Ray(cpus=2).machine.threads == 2


def test_the_machine_is_divided_among_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert Local(workers=2 * usable_cores(), devices=()).machine[:2] == (2 * usable_cores(), 1)
    assert Local(devices=()).machine.workers == min(usable_cores(), 8)
    assert Local(devices=("0", "1", "2")).machine.workers == 3
    assert Local(devices=("0",), workers=4).machine.workers == 4
    assert Local(workers=1, threads=5).machine.threads == 5


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "GPU 0: NVIDIA A (UUID: GPU-1a)\nGPU 1: NVIDIA (B) (UUID: GPU-2b)\n",
            ("GPU-1a", "GPU-2b"),
        ),
        (
            "GPU 0: NVIDIA A (UUID: GPU-1a)\n  MIG 1g.5gb     Device  0: (UUID: MIG-x)\n"
            "  MIG 1g.5gb     Device  1: (UUID: MIG-y)\nGPU 1: NVIDIA A (UUID: GPU-2b)\n",
            ("MIG-x", "MIG-y", "GPU-2b"),
        ),
        ("No devices found.\n", ()),
    ],
)
def test_devices_are_read_from_the_list_of_the_driver(text: str, names: tuple[str, ...]) -> None:
    assert listed_devices(text) == names


@pytest.mark.parametrize(
    ("value", "names"),
    [("2,3", ("2", "3")), ("", ()), ("-1", ()), ("1,-1,2", ("1",)), ("GPU-a, 0", ("GPU-a", "0"))],
)
def test_devices_that_are_made_visible(
    monkeypatch: pytest.MonkeyPatch, value: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert cuda_devices() == names


@pytest.mark.gpu
def test_the_devices_of_the_driver_are_those_of_torch() -> None:
    import torch

    assert len(cuda_devices()) == torch.cuda.device_count() > 0


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
