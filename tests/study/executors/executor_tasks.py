"""Tasks for the tests of executors: importable by worker processes, in step by files, not times."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickbag.errors import RunFailed, Stopped
from trickbag.recipe import Recipe
from trickbag.study.trial import Trial
from trickbag.train.folder.result import Result
from trickbag.train.machine.signals import StopSignal

ROOT = Path(__file__).parents[3]
"""The repository."""

TIMEOUT_S = 120.0
"""Long enough for any machine; only a test that fails waits so long."""

_tasks_of_this_process = 0


def program_environment() -> dict[str, str]:
    """The environment of a program that imports these tests, and trickbag as they do."""
    paths = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def trials(count: int) -> list[Trial]:
    return [
        Trial(id=f"t{i}", label=f"-trick{i}", model="resnet18", recipe=Recipe(), seed=i)
        for i in range(count)
    ]


def finished(trial: Trial, **metrics: float | int | None) -> Result:
    return Result(trial=trial.id, label=trial.label, seed=trial.seed, metrics=metrics)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} has not come"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended but was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for_end(pid: int) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} runs on"
        time.sleep(0.005)


def write_pid(path: Path) -> None:
    """Write this process's id into a file that is whole once it is there."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(str(os.getpid()))
    part.replace(path)


def count(path: Path) -> int:
    """Add one to a count in a file; return it."""
    with path.open("a") as file:
        file.write("x")
    return path.stat().st_size


def mark_environment() -> None:
    """Leave a mark in this process, for a started one to call."""
    os.environ["INITIALIZED_IN"] = str(os.getpid())


def fail_to_import() -> None:
    """Fail, for a started process to call."""
    raise ModuleNotFoundError("no such module")


@dataclass(frozen=True)
class Report:
    """Returns where it ran: process, environment, and the tasks that the process has run before."""

    def __call__(self, trial: Trial) -> Result:
        # That it survives from trial to trial is what is tested.
        global _tasks_of_this_process  # noqa: PLW0603
        _tasks_of_this_process += 1
        result = finished(
            trial, pid=os.getpid(), nth=_tasks_of_this_process, main=int(in_main_thread())
        )
        result.environment.update(os.environ)
        return result


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@dataclass(frozen=True)
class Fit:
    """Behaves like `fit`: counts steps, saves when a signal comes, and goes on where it was.

    Writes `ID.pid` once signals are caught, and steps until `go` is there.
    """

    folder: Path

    def __call__(self, trial: Trial) -> Result:
        saved = self.folder / f"{trial.id}.saved"
        with StopSignal() as stop:
            start = int(saved.read_text()) if saved.exists() else 0
            write_pid(self.folder / f"{trial.id}.pid")
            steps = start
            deadline = time.monotonic() + TIMEOUT_S
            while (
                not (self.folder / "go").exists() and not (self.folder / f"{trial.id}.go").exists()
            ):
                assert time.monotonic() < deadline
                steps += 1
                time.sleep(0.002)
                if stop.name:
                    saved.write_text(str(steps))
                    raise Stopped(f"stopped after step {steps}", signal=stop.name)
        return finished(trial, start=start)


@dataclass(frozen=True)
class EndDespiteSignal:
    """Gives its result when a signal comes, as a run does that is at its end."""

    folder: Path

    def __call__(self, trial: Trial) -> Result:
        with StopSignal() as stop:
            write_pid(self.folder / f"{trial.id}.pid")
            while not stop.name:
                time.sleep(0.002)
        return finished(trial, top1=50.0)


@dataclass(frozen=True)
class Die:
    """Ends its own process in the first `times` runs of the trial `victim`."""

    folder: Path
    victim: str
    times: int
    cause: str = "SIGKILL"

    def __call__(self, trial: Trial) -> Result:
        runs = count(self.folder / f"{trial.id}.runs")
        if trial.id == self.victim and runs <= self.times:
            if self.cause.startswith("SIG"):
                os.kill(os.getpid(), signal.Signals[self.cause])
                time.sleep(TIMEOUT_S)
            os._exit(3)
        return finished(trial, runs=runs)


@dataclass(frozen=True)
class Fail:
    """Raises in the trials named; the others give results."""

    def __call__(self, trial: Trial) -> Result:
        if trial.id == "t0":
            raise RunFailed("the loss is not finite at step 7")
        if trial.id == "t1":
            raise ValueError("no such thing")
        if trial.id == "t2":
            sys.exit(4)
        if trial.id == "t3":
            raise KeyError
        return finished(trial, top1=1.0)


@dataclass(frozen=True)
class Ignore:
    """Never ends and takes no signal."""

    folder: Path

    def __call__(self, trial: Trial) -> Result:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        write_pid(self.folder / f"{trial.id}.pid")
        time.sleep(TIMEOUT_S)
        return finished(trial)


@dataclass(frozen=True)
class Unsendable:
    """Gives a result that cannot be pickled for `t0`, a whole one for the others."""

    def __call__(self, trial: Trial) -> Result:
        value: Any = (lambda: 0) if trial.id == "t0" else 1.0
        return finished(trial, top1=value)


def _unreadable() -> None:
    raise RuntimeError("the module of the trick is not here")


@dataclass(frozen=True)
class Unreadable:
    """Can be pickled but not read again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _unreadable, ()

    def __call__(self, trial: Trial) -> Result:
        return finished(trial)


def pid_of(folder: Path, trial: str) -> int:
    wait_for(folder / f"{trial}.pid")
    return int((folder / f"{trial}.pid").read_text())
