"""Trials in worker processes of this machine, which outlive a trial and are replaced when they
die."""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import re
import shutil
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from trickbag.data.cores import usable_cores
from trickbag.errors import RunFailed, TrickbagError, UserError
from trickbag.study.executors import Machine
from trickbag.study.executors.inline import describe, failed, stopped
from trickbag.study.executors.worker import Worker
from trickbag.train.folder.result import Result
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial

__all__ = ["Local", "Started", "cuda_devices", "listed_devices"]

_TICK_S = 0.2  # a signal does not end the wait for workers
_REPEAT_S = 1.0
_END_S = 5.0
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

    `workers` run at a time: by default one for each CUDA device, or for each core, up to 8, where
    there is none; never more than there are trials. Each computes with `threads`, by default its
    share of the cores. `devices` are named as in CUDA_VISIBLE_DEVICES, by default all that are
    visible; worker i gets device i modulo their number. A trial whose worker dies is run again up
    to `retries` times, and is a result with an error after that. When the run is stopped, trials
    have `grace_s` seconds to save.

    Worker processes import the program's main module: a script needs `if __name__ == "__main__":`
    around its calls. Raises UserError where no worker can start, and RunFailed where they keep
    dying while they start.
    """

    workers: int | None = None
    retries: int = 2
    threads: int | None = None
    devices: tuple[str, ...] | None = None
    grace_s: float = 60.0

    def __post_init__(self) -> None:
        for name, low in (("workers", 1), ("threads", 1), ("retries", 0), ("grace_s", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"{name} = {value}: must be at least {low}")

    @property
    def machine(self) -> Machine:
        """The workers that run at a time where there are trials enough, and the threads of each."""
        workers = self.workers or len(self._devices()) or min(usable_cores(), _MOST_WORKERS)
        return Machine(workers=workers, threads=self.threads or max(1, usable_cores() // workers))

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        return self._run(task, trials, [])

    @contextmanager
    def started(self, first: Callable[[], None] | None = None) -> Iterator[Started]:
        """Start the worker processes now, so that they import while the caller still prepares the task.

        Each calls `first`, which must be importable from a module; what it raises is passed over.
        Gives an executor whose first run has these processes. Those that no run has taken end with
        the block.
        """
        started = Started(how=self)
        try:
            for place in range(self.machine.workers):
                started.workers.append(self._worker(place, first))
            yield started
        finally:
            for worker in started.workers:
                worker.process.kill()
            for worker in started.workers:
                worker.close()

    def _run(self, task: Task, trials: Sequence[Trial], started: list[Worker]) -> Iterator[Result]:
        """Run the trials, the first of them in the processes that are taken out of `started`."""
        if not trials:
            return
        try:
            pickled = pickle.dumps(task)
        except Exception as error:
            raise UserError(
                f"the task cannot be sent to worker processes ({describe(error)}); it must be "
                f"importable from a module"
            ) from error
        pool = _Pool(pickled, trials, self, started)
        atexit.register(
            pool.close
        )  # a generator that is still referred to at the end is not closed by itself
        try:
            with StopSignal() as stop:
                yield from pool.results(stop)
        finally:
            pool.close()
            atexit.unregister(pool.close)

    def _devices(self) -> tuple[str, ...]:
        return cuda_devices() if self.devices is None else self.devices

    def _worker(self, place: int, first: Callable[[], None] | None = None) -> Worker:
        """Start the process of a place. Raises RunFailed where the system has none to give."""
        changes = dict.fromkeys(_THREAD_VARIABLES, str(self.machine.threads))
        changes |= {name: os.environ.get(name, value) for name, value in _ALLOCATOR.items()}
        if devices := self._devices():
            changes["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
        try:
            return Worker(place, changes, first)
        except OSError as error:
            raise RunFailed(
                f"cannot start a worker process ({error}); set workers lower"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Started:
    """The executor `how`, with processes that have been started: those of its next run. See
    `Local.started`."""

    how: Local
    workers: list[Worker] = field(default_factory=list)

    @property
    def machine(self) -> Machine:
        """That of `how`."""
        return self.how.machine

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        return self.how._run(task, trials, self.workers)


def cuda_devices() -> tuple[str, ...]:
    """Return the names of the CUDA devices that programs started here see, without starting CUDA in
    this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _devices_of_machine()
    named = [name.strip() for name in visible.split(",")]
    # CUDA takes no device after a name that is none.
    end = next((i for i, name in enumerate(named) if name in ("", "-1")), len(named))
    return tuple(named[:end])


@functools.cache
def _devices_of_machine() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return listed_devices(done.stdout)


def listed_devices(text: str) -> tuple[str, ...]:
    """Read the devices' names out of what `nvidia-smi -L` prints; a device that is split gives its
    MIG instances."""
    found: list[str] = []
    for kind, name in re.findall(r"^\s*(GPU|MIG)\b.*\(UUID: (\S+)\)", text, re.MULTILINE):
        if kind == "MIG" and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(name)
    return tuple(found)


class _Pool:
    """The workers of one run, the trials that wait for them, and how often a trial's worker has
    died."""

    def __init__(
        self, task: bytes, trials: Sequence[Trial], how: Local, started: list[Worker]
    ) -> None:
        self.task, self.how = task, how
        self.most = min(how.machine.workers, len(trials))
        self.waiting = deque(trials)
        self.workers, started[: self.most] = started[: self.most], []
        for worker in self.workers:
            worker.set_task(task)
        self.deaths: Counter[str] = Counter()
        self.false_starts = 0
        self.failure: TrickbagError | None = None
        self.stopping = ""
        self.saved = self.lost = 0

    def results(self, stop: StopSignal) -> Iterator[Result]:
        """Yield results as they come, until all are there, or those of the trials that end while
        the run is stopped."""
        while self.waiting or self._busy():
            self.stopping = self.stopping or stop.name
            if self.stopping:
                yield from self._stop()
                return
            self._start_workers()
            ended = self._turn()
            if not stop.name and not self.stopping:
                ended += self._hand_out()
            yield from ended
            if self.failure is not None:
                raise self.failure

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.trial is not None]

    def _start_workers(self) -> None:
        free = sum(worker.trial is None for worker in self.workers)
        while len(self.workers) < self.most and free < len(self.waiting):
            place = min(set(range(self.most)) - {worker.place for worker in self.workers})
            worker = self.how._worker(place)
            self.workers.append(worker)
            worker.set_task(self.task)
            free += 1

    def _hand_out(self) -> list[Result]:
        """Give waiting trials to idle workers; return the results of those that cannot be sent."""
        unsent = []
        for worker in self.workers:
            while self.waiting and worker.ready and worker.trial is None:
                trial = self.waiting.popleft()
                try:
                    worker.give(trial)
                except Exception as error:
                    unsent.append(failed(trial, describe(error)))
        return unsent

    def _turn(self) -> list[Result]:
        """Wait until workers say something or die, or for a moment; return the results of the
        trials that ended."""
        wait(
            [
                each
                for worker in self.workers
                for each in (worker.connection, worker.process.sentinel)
            ],
            _TICK_S,
        )
        ended: list[Result] = []
        for worker in list(self.workers):
            said, death = worker.messages()
            for message in said:
                ended += self._take(worker, message[0], message[1])
            if death:
                self.workers.remove(worker)
                worker.close()
                ended += self._mourn(worker, death)
        return ended

    def _take(self, worker: Worker, kind: str, content: Result | str | None) -> list[Result]:
        if kind == "ready":
            worker.ready, self.false_starts = True, 0
            return []
        if kind == "unusable":
            worker.ready = True  # it has said why it ends
            self.failure = UserError(f"worker processes cannot read the task: {content}")
            return []
        trial, worker.trial = worker.trial, None
        assert trial is not None
        if kind == "result":
            assert isinstance(content, Result)
            return [content]
        if kind == "failed":
            return [failed(trial, str(content))]
        # Whoever signals one worker means the run: a shutdown signals every process, in any order.
        self.stopping = self.stopping or str(content) or "a signal"
        self.saved += 1
        self.waiting.appendleft(trial)
        return []

    def _mourn(self, worker: Worker, death: str) -> list[Result]:
        """Decide what becomes of a dead worker's trial; return the result if it is given up."""
        if not worker.ready:
            self._count_false_start(death)
        trial = worker.trial
        if trial is None:
            return []
        if self.stopping:
            self.lost += 1
            self.waiting.appendleft(trial)
            return []
        self.deaths[trial.id] += 1
        times = self.deaths[trial.id]
        if times <= self.how.retries:
            self.waiting.appendleft(trial)
            return []
        return [failed(trial, f"the worker process died {times} time{'s' * (times > 1)} ({death})")]

    def _count_false_start(self, death: str) -> None:
        self.false_starts += 1
        if death.startswith("exit"):
            self.failure = UserError(
                f"a worker process ended while it started ({death}; its own message is above); "
                "a script needs `if __name__ == '__main__':` around its calls"
            )
        elif self.false_starts > self.how.retries:
            self.failure = RunFailed(
                f"worker processes died while they started ({death}): perhaps the memory ran out; "
                f"set workers lower"
            )

    def _stop(self) -> Iterator[Result]:
        """Let the running trials save; yield the results of those that end instead. Raises Stopped
        unless all did."""
        deadline, repeat = time.monotonic() + self.how.grace_s, 0.0
        while self._busy():
            now = time.monotonic()
            for worker in self._busy():
                if now >= deadline:
                    worker.kill()
                elif now >= repeat:
                    worker.ask_to_stop()
            if now >= repeat:
                repeat = now + _REPEAT_S
            yield from self._turn()
        if self.waiting:
            raise stopped(self.stopping, self.saved, self.lost)

    def close(self) -> None:
        """End every worker: an idle one by itself, a busy one at once, since its trial goes on from
        a checkpoint."""
        for worker in self.workers:
            if worker.ready and worker.trial is None:
                worker.dismiss()
            else:
                worker.process.kill()
        deadline = time.monotonic() + _END_S
        while self.workers:
            self.workers[-1].close(max(0.0, deadline - time.monotonic()))
            self.workers.pop()
