"""Workers that load what is requested: processes with a thread each that carries, or threads.

Each failure of a worker arrives with the batch that it concerns, or by the look at the workers that
interrupts every wait.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import weakref
from typing import TYPE_CHECKING

from trickbag.data.loading.courier import Item
from trickbag.data.loading.process_courier import ProcessCourier
from trickbag.data.loading.thread_courier import ThreadCourier
from trickbag.data.loading.workers import POLL_S, shielded_start, without_main_module
from trickbag.errors import RunFailed, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trickbag.data.config import WorkerKind
    from trickbag.data.loading.courier import Courier
    from trickbag.data.loading.worker import Loadable, Loaded

__all__ = ["SILENCE_S", "LoaderPool"]

SILENCE_S = 300.0
"""How long all workers may be silent, in seconds; a worker that reads images reports so."""

_AHEAD = 2
"""Batches for each worker that are requested before they are needed."""


class LoaderPool:
    """`workers` processes or threads that load from `source`; they end with this process.

    With `pin_memory` the tensors are in pinned memory. Raises RunFailed if they cannot be started.
    """

    def __init__(
        self, source: Loadable, workers: int, *, kind: WorkerKind, pin_memory: bool = False
    ) -> None:
        self._requests: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._couriers: list[Courier] = []
        # Also if Python ends, or the last reference goes, without `close`.
        self._end = weakref.finalize(self, _end, self._couriers, self._requests)
        try:
            if kind == "threads":
                for place in range(workers):
                    self._begin(ThreadCourier(place, source, self._requests, pin_memory))
            else:
                pickled = pickle.dumps(source, pickle.HIGHEST_PROTOCOL)
                with shielded_start(), without_main_module(pickled):
                    for place in range(workers):
                        self._begin(ProcessCourier(place, pickled, self._requests, pin_memory))
        except (OSError, RuntimeError) as error:
            self.close()
            raise RunFailed(
                f"cannot start the data workers ({workers}): {_reason(error)}",
                "set data.workers lower, or 0, or raise the limit (ulimit -n, ulimit -u)",
            ) from error
        except BaseException:
            self.close()
            raise

    def _begin(self, courier: Courier) -> None:
        self._couriers.append(courier)
        courier.start()

    def batches(self, requests: Iterator[object], waiting: Callable[[], None]) -> Iterator[Loaded]:
        """Yield what is requested, in order; `waiting` is called now and then while that waits.

        Raises what `waiting` raises, the error that a request ended with, and RunFailed if a worker
        died or none has been heard of for SILENCE_S seconds.
        """
        results: queue.SimpleQueue[tuple[int, Loaded | Exception]] = queue.SimpleQueue()
        early: dict[int, Loaded | Exception] = {}
        sent = wanted = 0
        try:
            while True:
                while sent < wanted + _AHEAD * len(self._couriers):
                    try:
                        request = next(requests)
                    except StopIteration:
                        break
                    self._requests.put(Item(sent, request, results))
                    sent += 1
                if wanted == sent:
                    return
                while wanted not in early:
                    index, result = self._next(results, waiting)
                    early[index] = result
                loaded = early.pop(wanted)
                if isinstance(loaded, Exception):
                    raise loaded
                yield loaded
                wanted += 1
        finally:
            # Those of an epoch that was left before its end.
            with contextlib.suppress(queue.Empty):
                while True:
                    self._requests.get_nowait()

    def _next(
        self,
        results: queue.SimpleQueue[tuple[int, Loaded | Exception]],
        waiting: Callable[[], None],
    ) -> tuple[int, Loaded | Exception]:
        heard, silent_s = -1, 0.0
        while True:
            try:
                return results.get(timeout=POLL_S)
            except queue.Empty:
                waiting()
            for courier in self._couriers:
                if courier.failure is not None:
                    raise courier.failure
            # Counted, not taken from a clock, which goes on while the terminal stops the process.
            now_heard = sum(courier.signs for courier in self._couriers)
            silent_s = silent_s + POLL_S if now_heard == heard else 0.0
            heard = now_heard
            if silent_s >= SILENCE_S:
                raise RunFailed(
                    f"the data workers have read no image for {silent_s:.0f} s",
                    "look whether the disk with the images answers; data.workers=0 reads them "
                    "without workers",
                )

    def close(self) -> None:
        """End the workers."""
        self._end()


def _end(couriers: list[Courier], requests: queue.SimpleQueue[Item | None]) -> None:
    for _ in couriers:
        requests.put(None)
    for courier in couriers:
        courier.end()
    couriers.clear()


def _reason(error: OSError | RuntimeError) -> str:
    return getattr(error, "strerror", None) or first_line(error)
