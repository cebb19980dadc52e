"""Trials as tasks of Ray: on this machine, or on a cluster.

Tasks rather than a pool of actors: a cluster that scales itself sees every trial that waits and
grows by it, where a pool would have a size of its own; and Ray keeps the processes of tasks that
ask for the same, so that imports are paid for once. Only tasks with a GPU get a new process each:
one that has used a device cannot be given another.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from trickbag.data.cores import usable_cores
from trickbag.errors import UserError
from trickbag.study.executors import Machine
from trickbag.study.executors.inline import describe, failed, stopped
from trickbag.study.executors.local import cuda_devices
from trickbag.study.executors.ray_cluster import full_address, one_line, reach
from trickbag.study.executors.ray_devices import (
    Devices,
    outcome_of,
    require_ray_train,
    run_together,
)
from trickbag.study.executors.worker import environment
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Ray"]

_TICK_S = 0.2
_ASK_S = 0.5
_STORE_BYTES = 128 * 2**20  # results are small; by default Ray sets aside a third of the memory


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Runs trials as tasks of Ray, each with `cpus` cores and `gpus` devices; a fraction shares one.

    With `devices` above 1 as many processes train a trial together, by Ray Train, each with `cpus`
    cores and `gpus` devices: its result is that of `torchrun` with as many. `address` is that of a
    running cluster: `auto` for the one that this machine belongs to, HOST or HOST:PORT of its head,
    or `ray://HOST:PORT` of a Ray client server; None starts one on this machine, for this run. A
    connection that the program has made with `ray.init` is used as it is. At most `workers` run at
    a time, by default as many as there is room for. `gpus` is by default 1 where there are any,
    else 0. A trial whose process or machine dies is run again up to `retries` times, and is a
    result with an error after that. When the run is stopped, trials have `grace_s` seconds to save.

    Every machine needs the same version of trickbag, and the study's folder and data at the same
    paths. Raises UserError where ray is not installed, the address cannot be reached, or this
    machine has less than a trial asks for.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    gpus: float | None = None
    devices: int = 1
    retries: int = 2
    grace_s: float = 60.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers = {self.workers}: must be at least 1")
        if self.devices < 1:
            raise UserError(f"devices = {self.devices}: must be at least 1")
        if self.devices > 1 and self.gpus not in (None, 0, 1):
            raise UserError(
                f"gpus = {self.gpus:g}: each of {self.devices} processes that train together has a "
                f"device of its own "
                "or none; give 1 or 0"
            )
        if self.cpus <= 0:
            raise UserError(f"cpus = {self.cpus}: must be above 0")
        for name in ("gpus", "retries", "grace_s"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UserError(f"{name} = {value}: must be at least 0")

    @property
    def machine(self) -> Machine:
        """The trials that run at a time on the machines that are there now, and the threads of
        each."""
        alone = self.address is None and not _is_connected()
        device: Literal["cuda", "cpu"] = "cuda" if self._gpus_each else "cpu"
        workers = min(self._places or 1, self.workers or self._places or 1)
        threads = max(1, int(self.cpus))
        return Machine(workers, threads, device, shares_memory=alone, processes=self.devices)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        if not trials:
            return
        ray = _import_ray()
        if self.devices > 1:
            require_ray_train()
        if not self._places:
            asked = f"{self.cpus:g} cores" + (
                f" and {self._gpus_each:g} GPUs" if self._gpus_each else ""
            )
            asked = f"{self.devices} times {asked}" if self.devices > 1 else asked
            if self.address is None and not _is_connected():
                raise UserError(
                    f"this machine has fewer than the {asked} that a trial asks for; set cpus and "
                    f"gpus lower"
                )
            where = (
                "no machine of the Ray cluster has"
                if self.devices == 1
                else "the Ray cluster has not"
            )
            warnings.warn(f"{where} {asked} now: trials wait for one", stacklevel=2)
        # Signals second: ray.init takes the handler of SIGTERM for itself.
        with self._connected(ray), StopSignal() as stop:
            tasks = _Tasks(ray, task, self, self._gpus_each, self._places)
            try:
                yield from tasks.results(trials, stop)
            finally:
                tasks.end()

    @functools.cached_property
    def _nodes(self) -> list[dict[str, float]]:
        """What each machine has, by Ray's names of resources."""
        ray = _import_ray()
        if ray.is_initialized():
            return [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if self.address is None:
            return [{"CPU": usable_cores(), "GPU": len(cuda_devices())}]
        return reach(self.address)

    @property
    def _gpus_each(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1.0 if any(node.get("GPU") for node in self._nodes) else 0.0

    @property
    def _places(self) -> int:
        """Count the trials that fit on the machines at a time."""
        count = 0
        for node in self._nodes:
            fits = [node.get("CPU", 0.0) / self.cpus]
            if self._gpus_each:
                fits.append(node.get("GPU", 0.0) / self._gpus_each)
            count += int(min(fits) + 1e-6)  # ten tenths are one
        return count // self.devices

    @contextmanager
    def _connected(self, ray: Any) -> Iterator[None]:
        """Connect to Ray, or use the connection that is there, which then stays."""
        if ray.is_initialized():
            yield
            return
        handler = signal.getsignal(signal.SIGTERM)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self.address is None:
                # NoTeacher asked for reports on the use of this machine to be sent anywhere.
                reports = os.environ.get("RAY_USAGE_STATS_ENABLED", "0")
                with environment({"RAY_USAGE_STATS_ENABLED": reports}):
                    ray.init(
                        address="local",
                        num_cpus=usable_cores(),
                        num_gpus=len(cuda_devices()),
                        include_dashboard=False,
                        object_store_memory=_STORE_BYTES,
                        **quiet,
                    )
            else:
                ray.init(address=full_address(self.address), **quiet)
        except Exception as error:
            where = "on this machine" if self.address is None else f"at {self.address!r}"
            raise UserError(
                f"cannot connect to Ray {where}: {one_line(describe(error))}"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()
            if handler is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)


class _Tasks:
    """The tasks of one run that have not ended, and how often a trial's process has died."""

    def __init__(self, ray: Any, task: Task, how: Ray, gpus: float, places: int) -> None:
        self.ray, self.how = ray, how
        try:
            self.task = ray.put(task)
        except Exception as error:
            raise UserError(
                f"the task cannot be sent to Ray: {one_line(describe(error))}"
            ) from error
        self.desk = ray.remote(num_cpus=0)(_Desk).remote()
        self.most, self.each = how.workers, Devices(count=how.devices, cpus=how.cpus, gpus=gpus)
        if how.devices == 1:
            self.remote = ray.remote(num_cpus=how.cpus, num_gpus=gpus, max_retries=0)(_run_trial)
        else:
            self.remote = ray.remote(num_cpus=0, max_retries=0)(run_together)
            # Each is a process that waits for others: no more than have room.
            self.most = min(how.workers or max(1, places), max(1, places))
        self.sent: dict[Any, tuple[str, Trial]] = {}
        self.turns = itertools.count()
        self.deaths: Counter[str] = Counter()
        self.stopping = ""
        self.saved = self.lost = self.left = 0
        self.forced = False

    def results(self, trials: Sequence[Trial], stop: StopSignal) -> Iterator[Result]:
        """Yield results as they come, until all are there, or those of the trials that end while
        the run is stopped."""
        waiting = deque(trials)
        most = self.most or len(trials)
        while waiting or self.sent:
            self.stopping = stop.name
            if self.stopping:
                self.left += len(waiting)
                yield from self._stop()
                return
            while waiting and len(self.sent) < most:
                yield from self._send(waiting.popleft())
            if self.sent:
                yield from self._turn()

    def end(self) -> None:
        """End what still runs, at once."""
        with suppress(Exception):  # the connection may be what has ended
            self._cancel_all()
            self.ray.kill(self.desk)
        self.sent.clear()

    def _send(self, trial: Trial) -> list[Result]:
        turn = f"{trial.id} {next(self.turns)}"
        try:
            self.sent[self.remote.remote(self.task, trial, self.desk, turn, self.each)] = (
                turn,
                trial,
            )
        except Exception as error:
            return [failed(trial, describe(error))]
        return []

    def _turn(self) -> list[Result]:
        """Wait for a task to end, or for a moment; return the results of the trials that ended."""
        ready, _ = self.ray.wait(list(self.sent), timeout=_TICK_S)
        return [
            result
            for reference in ready
            for result in self._ended(reference, self.sent.pop(reference)[1])
        ]

    def _ended(self, reference: Any, trial: Trial) -> list[Result]:
        errors = self.ray.exceptions
        try:
            kind, content = self.ray.get(reference)
        except errors.TaskCancelledError:
            kind, content = "left" if self.stopping and not self.forced else "died", "cancelled"
        except errors.RayTaskError as error:
            kind, content = "failed", describe(getattr(error, "cause", None) or error)
        except errors.RayError as error:
            kind, content = "died", type(error).__name__
        if kind == "result":
            return [content]
        if kind == "failed":
            return [failed(trial, content)]
        if (
            not self.stopping
        ):  # a machine that goes down may stop what runs there: that is not the run
            return self._died(trial, content)
        self.left += kind == "left"
        self.saved += kind == "stopped"
        self.lost += kind == "died"
        return []

    def _died(self, trial: Trial, how: str) -> list[Result]:
        """Run a trial again whose process died; return the result if it is given up."""
        self.deaths[trial.id] += 1
        times = self.deaths[trial.id]
        if times <= self.how.retries:
            return self._send(trial)
        return [failed(trial, f"the worker process died {times} time{'s' * (times > 1)} ({how})")]

    def _stop(self) -> Iterator[Result]:
        """Let the running trials save; yield the results of those that end instead. Raises Stopped
        unless all did."""
        deadline = time.monotonic() + self.how.grace_s
        try:
            begun = self.ray.get(self.desk.stop.remote(), timeout=self.how.grace_s)
        except (
            Exception
        ):  # the machine of the desk has gone: nobody can be asked, and everything is cancelled
            begun = set()
        for reference, (turn, _) in self.sent.items():
            if turn not in begun:
                self.ray.cancel(reference, force=False, recursive=False)
        while self.sent:
            if time.monotonic() >= deadline and not self.forced:
                self.forced = True
                self._cancel_all()
            yield from self._turn()
        if self.left or self.saved or self.lost:
            raise stopped(self.stopping, self.saved, self.lost)

    def _cancel_all(self) -> None:
        for reference in self.sent:
            self.ray.cancel(reference, force=True)


class _Desk:
    """An actor where trials sign in as they begin, and ask whether the run is being stopped.

    Ray's own way to stop a task raises KeyboardInterrupt in it, wherever it is: that may cut short
    what the trial saves, or be lost between a task's arrival and its start.
    """

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._stopping = False
        self._left: dict[str, tuple[str, Any]] = {}

    def begin(self, turn: str) -> bool:
        """Sign in; return whether to begin."""
        if not self._stopping:
            self._begun.add(turn)
        return not self._stopping

    def stop(self) -> set[str]:
        """Stop the run; return who has begun. NoTeacher begins after that."""
        self._stopping = True
        return self._begun

    def stopping(self) -> bool:
        """Return whether the run is being stopped."""
        return self._stopping

    def leave(self, turn: str, outcome: tuple[str, Any]) -> None:
        """Leave how a trial of several processes ended, for the task that waits for them."""
        self._left[turn] = outcome

    def take(self, turn: str) -> tuple[str, Any]:
        """Return what was left."""
        return self._left.pop(turn, ("died", "nothing said"))


def _run_trial(task: Task, trial: Trial, desk: Any, turn: str, _each: Devices) -> tuple[str, Any]:
    """Run a trial in a process of Ray, which runs tasks in its main thread, so that they can catch
    signals."""
    answer: SimpleQueue[bool] = SimpleQueue()
    ended = threading.Event()
    # Whatever waits for Ray does so in a thread: while the main thread waits, Ray gives the task's
    # cores to others.
    asking = threading.Thread(
        target=_ask, args=(desk, turn, answer, ended), name="ask-to-stop", daemon=True
    )
    before = signal.signal(signal.SIGTERM, _pass_over)
    asking.start()
    try:
        return outcome_of(task, trial) if answer.get() else ("left", "stopped before it began")
    except KeyboardInterrupt:  # cancelled by somebody else
        return "died", "cancelled"
    finally:
        ended.set()
        asking.join()
        signal.signal(signal.SIGTERM, before)


def _ask(desk: Any, turn: str, answer: SimpleQueue[bool], ended: threading.Event) -> None:
    """Ask whether the trial may begin; send this process SIGTERM once the run is being stopped.

    Again and again until the trial has ended: it may not catch signals yet.
    """
    ray = _import_ray()
    try:
        begins = ray.get(desk.begin.remote(turn))
        answer.put(begins)
        while begins and not ended.wait(_ASK_S):
            if ray.get(desk.stopping.remote()) and not ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
    except ray.exceptions.RayError:  # the machine of the desk has gone; the trial may still end
        answer.put(True)


def _pass_over(*_: object) -> None:
    pass


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError("the ray executor needs ray: pip install trickbag[ray]") from error


def _is_connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())
