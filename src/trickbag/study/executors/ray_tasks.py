"""The tasks of a run on Ray.

Tasks rather than a pool of actors: a cluster that scales itself sees every trial that waits and
grows by it, where a pool would have a size of its own; and Ray keeps the processes of tasks that
ask for the same, so that imports are paid for once. Only tasks with a GPU get a new process each:
one that has used a device cannot be given another.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.study.executors.ray_cluster import one_line
from trickbag.study.executors.ray_coordinator import POLL_S, Coordinator
from trickbag.study.executors.ray_train import run_task, train_together
from trickbag.study.executors.trial_end import (
    death_text,
    error_text,
    failed_result,
    stopped_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.study.executors import Task
    from trickbag.study.executors.ray_coordinator import TrialEnd
    from trickbag.study.executors.ray_train import Resources
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result
    from trickbag.train.machine.signals import StopSignal

__all__ = ["RayTasks"]

_TICK_S = 0.2


class RayTasks:
    """The tasks of one run that have not ended, and the deaths of each trial's process.

    `ray` is the module, connected. Each task has `resources`; at most `workers` run at a time, None
    for as many as fit, and `room` is how many fit now. A trial whose process dies is run again up
    to `retries` times. When the run is stopped, trials have `grace_s` seconds to save.
    """

    def __init__(
        self,
        ray: Any,
        task: Task,
        resources: Resources,
        *,
        workers: int | None,
        room: int,
        retries: int,
        grace_s: float,
    ) -> None:
        self._ray, self._resources = ray, resources
        self._retries, self._grace_s = retries, grace_s
        try:
            # Stored once: as a plain argument the task would be sent anew with every trial.
            self._task = ray.put(task)
        except Exception as error:
            raise UserError(
                f"the task cannot be sent to Ray: {one_line(error_text(error))}"
            ) from error
        self._coordinator = ray.remote(num_cpus=0)(Coordinator).remote()
        if resources.processes == 1:
            # Deaths are counted here; by default Ray itself would run a task again, uncounted.
            self._remote = ray.remote(
                num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0
            )(_run_trial)
            self._most = workers
        else:
            self._remote = ray.remote(num_cpus=0, max_retries=0)(train_together)
            # Each is a process that waits for others: no more than have room.
            self._most = min(workers or max(1, room), max(1, room))
        self._sent: dict[Any, tuple[str, Trial]] = {}
        self._attempts = itertools.count()
        self._deaths: Counter[str] = Counter()
        self._signal = ""
        self._saved = self._killed = self._not_started = 0
        self._forced = False

    def results(self, trials: Sequence[Trial], stop: StopSignal) -> Iterator[Result]:
        """Yield results as they come, until all are there.

        When the run is stopped, these are the results of the trials that end meanwhile.
        """
        waiting = deque(trials)
        most = self._most or len(trials)
        while waiting or self._sent:
            self._signal = stop.name
            if self._signal:
                self._not_started += len(waiting)
                yield from self._stop()
                return
            while waiting and len(self._sent) < most:
                yield from self._send(waiting.popleft())
            if self._sent:
                yield from self._receive()

    def end(self) -> None:
        """End what still runs, at once."""
        with suppress(Exception):  # the connection may be what has ended
            self._cancel_all()
            self._ray.kill(self._coordinator)
        self._sent.clear()

    def _send(self, trial: Trial) -> list[Result]:
        """Send a trial as a task; return the result of one that cannot be sent."""
        attempt = f"{trial.id} {next(self._attempts)}"
        try:
            reference = self._remote.remote(
                self._task, trial, self._coordinator, attempt, self._resources
            )
        except Exception as error:
            return [failed_result(trial, error_text(error))]
        self._sent[reference] = (attempt, trial)
        return []

    def _receive(self) -> list[Result]:
        """Wait a little for a task to end; return the results of the trials that have ended."""
        ready, _ = self._ray.wait(list(self._sent), timeout=_TICK_S)
        return [
            result
            for reference in ready
            for result in self._handle_end(reference, self._sent.pop(reference)[1])
        ]

    def _end_of(self, reference: Any) -> TrialEnd:
        errors = self._ray.exceptions
        try:
            end: TrialEnd = self._ray.get(reference)
        except errors.TaskCancelledError:
            return ("not_started" if self._signal and not self._forced else "died", "cancelled")
        except errors.RayTaskError as error:
            return "failed", error_text(getattr(error, "cause", None) or error)
        except errors.RayError as error:
            return "died", type(error).__name__
        return end

    def _handle_end(self, reference: Any, trial: Trial) -> list[Result]:
        kind, content = self._end_of(reference)
        if kind == "result":
            return [content]
        if kind == "failed":
            return [failed_result(trial, content)]
        # A machine that goes down may stop what runs there, which does not stop the run.
        if not self._signal:
            return self._handle_death(trial, content if kind == "died" else "stopped")
        self._not_started += kind == "not_started"
        self._saved += kind == "stopped"
        self._killed += kind == "died"
        return []

    def _handle_death(self, trial: Trial, cause: str) -> list[Result]:
        """Run a trial again whose process died; return the result if it is given up."""
        self._deaths[trial.id] += 1
        times = self._deaths[trial.id]
        if times <= self._retries:
            return self._send(trial)
        return [failed_result(trial, death_text(times, cause))]

    def _stop(self) -> Iterator[Result]:
        """Let the running trials save; yield the results of those that end instead.

        Raises Stopped unless no trial is left.
        """
        deadline = time.monotonic() + self._grace_s
        try:
            begun = self._ray.get(self._coordinator.stop.remote(), timeout=self._grace_s)
        except Exception:
            # The coordinator's machine is gone: no trial can be asked, and all are cancelled.
            begun = set()
        for reference, (attempt, _) in self._sent.items():
            if attempt not in begun:
                self._ray.cancel(reference, force=False, recursive=False)
        while self._sent:
            if time.monotonic() >= deadline and not self._forced:
                self._forced = True
                self._cancel_all()
            yield from self._receive()
        if self._not_started or self._saved or self._killed:
            raise stopped_error(self._signal, self._saved, self._killed)

    def _cancel_all(self) -> None:
        for reference in self._sent:
            self._ray.cancel(reference, force=True)


def _run_trial(
    task: Task, trial: Trial, coordinator: Any, attempt: str, _resources: Resources
) -> TrialEnd:
    """Run a trial in a process of Ray; return how it ended.

    Ray runs tasks in the main thread, so that they can catch signals.
    """
    may_begin: SimpleQueue[bool] = SimpleQueue()
    ended = threading.Event()
    # Whatever waits for Ray does so in a thread: while the main thread waits, Ray gives the task's
    # cores to others.
    watcher = threading.Thread(
        target=_watch,
        args=(coordinator, attempt, may_begin, ended),
        name="watch-for-stop",
        daemon=True,
    )
    handler = signal.signal(signal.SIGTERM, _pass_over)
    watcher.start()
    try:
        return run_task(task, trial) if may_begin.get() else ("not_started", None)
    except KeyboardInterrupt:  # cancelled by somebody else
        return "died", "cancelled"
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGTERM, handler)


def _watch(
    coordinator: Any, attempt: str, may_begin: SimpleQueue[bool], ended: threading.Event
) -> None:
    """Ask whether the trial may begin; send this process SIGTERM once the run is being stopped.

    Again and again until the trial has ended: it may not catch signals yet.
    """
    ray = importlib.import_module("ray")
    try:
        begins = ray.get(coordinator.begin.remote(attempt))
        may_begin.put(begins)
        while begins and not ended.wait(POLL_S):
            if ray.get(coordinator.stopping.remote()) and not ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
    except ray.exceptions.RayError:  # the coordinator's machine is gone; the trial may still end
        may_begin.put(True)


def _pass_over(*_: object) -> None:
    pass
