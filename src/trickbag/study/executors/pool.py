"""The worker processes of one run: they are given trials, and replaced when they die."""

from __future__ import annotations

import time
from collections import Counter, deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from trickbag.data.loading.workers import exit_text
from trickbag.errors import RunFailed, TrickbagError, UserError
from trickbag.study.executors.trial_end import (
    death_text,
    error_text,
    failed_result,
    stopped_error,
)
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trickbag.study.executors.worker import Worker
    from trickbag.study.trial import Trial
    from trickbag.train.machine.signals import StopSignal

__all__ = ["WorkerPool"]

_TICK_S = 0.2  # a signal does not end the wait for workers
_REPEAT_S = 1.0
_END_S = 5.0


class WorkerPool:
    """The workers of one run, the trials that wait for them, and the deaths of each trial's worker.

    `workers` have been started already, at most `size`; `start_worker` starts the one of a place.
    `task` is pickled. A trial whose worker dies is run again up to `retries` times. When the run is
    stopped, trials have `grace_s` seconds to save.
    """

    def __init__(
        self,
        task: bytes,
        trials: Sequence[Trial],
        workers: list[Worker],
        *,
        size: int,
        start_worker: Callable[[int], Worker],
        retries: int,
        grace_s: float,
    ) -> None:
        self._task, self._size, self._start_worker = task, size, start_worker
        self._retries, self._grace_s = retries, grace_s
        self._waiting = deque(trials)
        self._workers = workers
        for worker in workers:
            worker.send_task(task)
        self._deaths: Counter[str] = Counter()
        self._failed_starts = 0
        self._failure: TrickbagError | None = None
        self._stopping, self._signal = False, ""
        self._saved = self._killed = 0

    def results(self, stop: StopSignal) -> Iterator[Result]:
        """Yield results as they come, until all are there.

        When the run is stopped, these are the results of the trials that end meanwhile.
        """
        while self._waiting or self._busy():
            if stop.name:
                self._begin_stop(stop.name)
            if self._stopping:
                yield from self._stop()
                return
            self._start_workers()
            results = self._receive()
            if not stop.name and not self._stopping:
                results += self._send_trials()
            # Before the error is raised: trials that have just ended are not lost with it.
            yield from results
            if self._failure is not None:
                raise self._failure

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.trial is not None]

    def _start_workers(self) -> None:
        free = sum(worker.trial is None for worker in self._workers)
        while len(self._workers) < self._size and free < len(self._waiting):
            place = min(set(range(self._size)) - {worker.place for worker in self._workers})
            worker = self._start_worker(place)
            self._workers.append(worker)
            worker.send_task(self._task)
            free += 1

    def _send_trials(self) -> list[Result]:
        """Send waiting trials to idle workers; return the results of those that cannot be sent."""
        results = []
        for worker in self._workers:
            while self._waiting and worker.ready and worker.trial is None:
                trial = self._waiting.popleft()
                try:
                    worker.send_trial(trial)
                except Exception as error:
                    results.append(failed_result(trial, error_text(error)))
        return results

    def _receive(self) -> list[Result]:
        """Wait a little for workers to send something or to die; return results that have come."""
        wait(
            [
                source
                for worker in self._workers
                for source in (worker.connection, worker.process.sentinel)
            ],
            _TICK_S,
        )
        results: list[Result] = []
        for worker in list(self._workers):
            messages, exit_code = worker.messages()
            for kind, content in messages:
                results += self._handle_message(worker, kind, content)
            if exit_code is not None:
                self._workers.remove(worker)
                worker.close()
                results += self._handle_death(worker, exit_code)
        return results

    def _handle_message(
        self, worker: Worker, kind: str, content: Result | str | None
    ) -> list[Result]:
        if kind == "ready":
            worker.ready, self._failed_starts = True, 0
            return []
        if kind == "unusable":
            worker.ready = True  # its end is no failed start
            self._failure = UserError(f"worker processes cannot read the task: {content}")
            return []
        trial, worker.trial = worker.trial, None
        assert trial is not None
        if kind == "result":
            assert isinstance(content, Result)
            return [content]
        if kind == "failed":
            return [failed_result(trial, str(content))]
        # Whoever signals one worker means the run: a shutdown signals every process, in any order.
        self._begin_stop(str(content))
        self._saved += 1
        self._waiting.appendleft(trial)
        return []

    def _handle_death(self, worker: Worker, exit_code: int) -> list[Result]:
        """Decide what becomes of a dead worker's trial; return the result if it is given up."""
        if not worker.ready:
            self._handle_failed_start(exit_code)
        trial = worker.trial
        if trial is None:
            return []
        if self._stopping:
            self._killed += 1
            self._waiting.appendleft(trial)
            return []
        self._deaths[trial.id] += 1
        times = self._deaths[trial.id]
        if times <= self._retries:
            self._waiting.appendleft(trial)
            return []
        return [failed_result(trial, death_text(times, exit_text(exit_code)))]

    def _handle_failed_start(self, exit_code: int) -> None:
        self._failed_starts += 1
        cause = exit_text(exit_code)
        # No signal ended it: an error of Python did, which another process would have too.
        if exit_code >= 0:
            self._failure = UserError(
                f"a worker process ended while it started ({cause}; its own message is above)",
                "a script needs `if __name__ == '__main__':` around its calls",
            )
        elif self._failed_starts > self._retries:
            self._failure = RunFailed(
                f"worker processes died while they started ({cause}): perhaps the memory ran out",
                "set workers lower",
            )

    def _begin_stop(self, signal: str) -> None:
        self._signal = self._signal or signal
        self._stopping = True

    def _stop(self) -> Iterator[Result]:
        """Let the running trials save; yield the results of those that end instead.

        Raises Stopped unless no trial is left.
        """
        deadline, repeat = time.monotonic() + self._grace_s, 0.0
        while self._busy():
            now = time.monotonic()
            for worker in self._busy():
                if now >= deadline:
                    worker.kill()
                # Again and again: a worker between two trials passes the signal over.
                elif now >= repeat:
                    worker.request_stop()
            if now >= repeat:
                repeat = now + _REPEAT_S
            yield from self._receive()
        if self._waiting:
            raise stopped_error(self._signal, self._saved, self._killed)

    def close(self) -> None:
        """End every worker: an idle one by itself, a busy one at once.

        The trial of a busy one goes on from its checkpoint.
        """
        for worker in self._workers:
            if worker.ready and worker.trial is None:
                worker.dismiss()
            else:
                worker.process.kill()
        deadline = time.monotonic() + _END_S
        while self._workers:
            self._workers[-1].close(max(0.0, deadline - time.monotonic()))
            self._workers.pop()
