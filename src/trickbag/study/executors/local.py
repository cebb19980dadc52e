"""Trials in worker processes of this machine."""

from __future__ import annotations

import atexit
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.data.cores import threads_set, usable_cores
from trickbag.errors import RunFailed, UserError
from trickbag.study.executors import Machine
from trickbag.study.executors.devices import cuda_devices
from trickbag.study.executors.pool import WorkerPool
from trickbag.study.executors.trial_end import error_text
from trickbag.study.executors.worker import Worker
from trickbag.study.limits import require_within
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Local", "StartedLocal"]

_MOST_WORKERS = 8
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# A training step frees what the next allocates again; glibc would give it back to the system each
# time, and fetching it anew costs time in the kernel (LOG). Both go together: a trim threshold
# alone lowers the other for good.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30)}


@dataclass(frozen=True, kw_only=True)
class Local:
    """Runs trials in worker processes of this machine, each alive for many trials.

    `workers` run at a time: by default `trials_per_gpu`, or 1, for each CUDA device, or as many as
    have cores for their threads, up to 8, where there is none; never more than there are trials.
    Each computes with `threads`: by default those of OMP_NUM_THREADS, whatever the number of
    workers, and its share of the cores where that is not set. `devices` are named as in
    CUDA_VISIBLE_DEVICES, by default all that are visible; worker i gets device i modulo their
    number. A trial whose worker dies is run again up to `retries` times, and is a result with an
    error after that. When the run is stopped, trials have `grace_s` seconds to save.

    Worker processes import the program's main module: a script needs `if __name__ == "__main__":`
    around its calls. Raises UserError where no worker can start, and RunFailed where they keep
    dying while they start.
    """

    workers: int | None = None
    trials_per_gpu: int | None = None
    retries: int = 2
    threads: int | None = None
    devices: tuple[str, ...] | None = None
    grace_s: float = 60.0

    def __post_init__(self) -> None:
        names = ("workers", "trials_per_gpu", "threads", "retries", "grace_s")
        require_within(**{name: getattr(self, name) for name in names})
        if self.trials_per_gpu is None:
            return
        if self.workers is not None:
            raise UserError(
                f"workers = {self.workers} and trials_per_gpu = {self.trials_per_gpu} both say how "
                "many trials run at a time",
                "give one of them",
            )
        if not self._devices():
            raise UserError(
                f"trials_per_gpu = {self.trials_per_gpu}: there is no CUDA device",
                "workers is the number of trials at a time on a CPU",
            )

    @property
    def machine(self) -> Machine:
        """The workers that run at a time where there are trials enough, and the threads of each."""
        # Threads are part of what a trial computes: a number that is set holds for any `workers`.
        threads = self.threads or threads_set()
        room = max(1, min(usable_cores() // (threads or 1), _MOST_WORKERS))
        workers = self.workers or len(self._devices()) * (self.trials_per_gpu or 1) or room
        return Machine(workers=workers, threads=threads or max(1, usable_cores() // workers))

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        return self._run(task, trials, [])

    @contextmanager
    def started(self, initializer: Callable[[], None] | None = None) -> Iterator[StartedLocal]:
        """Start the worker processes now: they import while the caller still prepares the task.

        Each calls `initializer`, which must be importable from a module; what it raises is ignored.
        Yields an executor whose first run has these processes. Those that no run has taken end with
        the block.
        """
        started = StartedLocal(local=self)
        try:
            for place in range(self.machine.workers):
                started.workers.append(self._start_worker(place, initializer))
            yield started
        finally:
            for worker in started.workers:
                worker.process.kill()
            for worker in started.workers:
                worker.close()

    def _run(self, task: Task, trials: Sequence[Trial], started: list[Worker]) -> Iterator[Result]:
        """Run the trials, the first of them in processes that are taken out of `started`."""
        if not trials:
            return
        try:
            pickled = pickle.dumps(task)
        except Exception as error:
            raise UserError(
                f"the task cannot be sent to worker processes ({error_text(error)}); it must be "
                "importable from a module"
            ) from error
        size = min(self.machine.workers, len(trials))
        workers, started[:size] = started[:size], []
        pool = WorkerPool(
            pickled,
            trials,
            workers,
            size=size,
            start_worker=self._start_worker,
            retries=self.retries,
            grace_s=self.grace_s,
        )
        # A generator that is still referred to when the program ends is not closed by itself.
        atexit.register(pool.close)
        try:
            with StopSignal() as stop:
                yield from pool.results(stop)
        finally:
            pool.close()
            atexit.unregister(pool.close)

    def _devices(self) -> tuple[str, ...]:
        return cuda_devices() if self.devices is None else self.devices

    def _start_worker(self, place: int, initializer: Callable[[], None] | None = None) -> Worker:
        """Start the process of a place. Raises RunFailed where the system has none to give."""
        changes = dict.fromkeys(_THREAD_VARIABLES, str(self.machine.threads))
        changes |= {name: os.environ.get(name, value) for name, value in _ALLOCATOR.items()}
        if devices := self._devices():
            changes["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
        try:
            return Worker(place, changes, initializer)
        except OSError as error:
            raise RunFailed(
                f"cannot start a worker process ({error})", "set workers lower"
            ) from error


@dataclass(frozen=True, kw_only=True)
class StartedLocal:
    """The executor `local` with worker processes that have been started, for its next run.

    `Local.started` makes it.
    """

    local: Local
    workers: list[Worker] = field(default_factory=list)

    @property
    def machine(self) -> Machine:
        """That of `local`."""
        return self.local.machine

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        return self.local._run(task, trials, self.workers)
