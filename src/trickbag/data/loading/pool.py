"""Worker processes that load what is requested, and threads that carry it here, one for each.

Each failure of a worker arrives with the batch that it concerns, or by the look at the workers that
interrupts every wait.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import queue
import socket
import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.loading.channel import Channel
from trickbag.data.loading.worker import out_of_memory, serve
from trickbag.data.loading.workers import POLL_S, exit_text, shielded_start, without_main_module
from trickbag.errors import RunFailed, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trickbag.data.loading.worker import Loadable, Loaded, Message

__all__ = ["SILENCE_S", "LoaderPool"]

SILENCE_S = 300.0
"""How long all workers may be silent, in seconds; a worker that reads images reports so."""

_AHEAD = 2
"""Batches for each worker that are requested before they are needed."""

_END_S = 5.0


class _Item(NamedTuple):
    """A request, its place in the order, and the queue for its result."""

    place: int
    request: object
    results: queue.SimpleQueue[tuple[int, Loaded | Exception]]


class LoaderPool:
    """`workers` processes that load from `source`; they end with this one, however it ends.

    With `pin_memory` the tensors are in pinned memory. Raises RunFailed if the processes cannot be
    started.
    """

    def __init__(self, source: Loadable, workers: int, *, pin_memory: bool = False) -> None:
        pickled = pickle.dumps(source, pickle.HIGHEST_PROTOCOL)
        self._requests: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._couriers: list[_Courier] = []
        # Also if Python ends, or the last reference goes, without `close`.
        self._end = weakref.finalize(self, _end, self._couriers, self._requests)
        try:
            with shielded_start(), without_main_module(pickled):
                for place in range(workers):
                    courier = _Courier(place, pickled, self._requests, pin_memory)
                    self._couriers.append(courier)
                    courier.start()
        except (OSError, RuntimeError) as error:
            self.close()
            raise RunFailed(
                f"cannot start the data workers ({workers}): {_reason(error)}",
                "set data.workers lower, or 0, or raise the limit (ulimit -n, ulimit -u)",
            ) from error
        except BaseException:
            self.close()
            raise

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
                    self._requests.put(_Item(sent, request, results))
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
                    "without worker processes",
                )

    def close(self) -> None:
        """End the worker processes and their threads."""
        self._end()


def _end(couriers: list[_Courier], requests: queue.SimpleQueue[_Item | None]) -> None:
    for _ in couriers:
        requests.put(None)
    for courier in couriers:
        courier.end()
    couriers.clear()


class _Courier(threading.Thread):
    """A worker process, and the thread that carries requests to it and their results back.

    `signs` counts its signs of life; `failure` is set once it can carry no more.
    """

    def __init__(
        self,
        place: int,
        pickled: bytes,
        requests: queue.SimpleQueue[_Item | None],
        pin_memory: bool,
    ) -> None:
        super().__init__(name=f"data-{place}", daemon=True)
        self.signs = 0
        self.failure: Exception | None = None
        self._requests, self._pickled, self._pin_memory = requests, pickled, pin_memory
        self._device = _current_device() if pin_memory else 0
        here, there = socket.socketpair()
        self._channel = Channel(here)
        # A forked worker inherits locks that the parent's threads hold, and may wait for ever.
        context = multiprocessing.get_context("spawn")
        # The source comes over the connection. As an argument it would be written to a pipe of
        # which CPython holds the other end too: with a worker that dies, that write never ends.
        self._process = context.Process(target=serve, args=(there,), name=self.name, daemon=True)
        try:
            self._process.start()
        except BaseException:
            here.close()
            raise
        finally:
            there.close()

    def run(self) -> None:
        """Carry until there is nothing more to request, or the worker is gone."""
        item = None
        try:
            if self._pin_memory:
                _set_device(self._device)
            pickled, self._pickled = self._pickled, b""
            self._channel.send_bytes(pickled)
            del pickled
            while (item := self._requests.get()) is not None:
                item.results.put((item.place, self._result(item.request)))
                item = None
        except Exception as error:
            self.failure = self._failed(error)
            if item is not None:
                item.results.put((item.place, self.failure))

    def _result(self, request: object) -> Loaded | Exception:
        self._channel.send(request)
        while True:
            message: Message = self._channel.receive()
            kind, content = message
            if kind == "alive":
                self.signs += 1
            elif kind == "batch":
                forms, rest = content
                return self._channel.receive_tensors(forms, pin_memory=self._pin_memory), rest
            else:
                failure: Exception = content
                return failure

    def _failed(self, error: Exception) -> Exception:
        if not isinstance(error, OSError | EOFError):
            return out_of_memory(error) or error
        self._process.join(2 * POLL_S)
        code = self._process.exitcode
        return RunFailed(
            "a data worker process "
            + ("hung up" if code is None else f"died ({exit_text(code)})")
            + ": perhaps the memory ran out",
            "set data.workers lower, or 0 "
            "(a script of your own needs `if __name__ == '__main__':` around its calls)",
        )

    def end(self) -> None:
        """End the process, at once, and the thread."""
        self._channel.shut()
        self._process.kill()
        self._process.join(_END_S)
        if self.ident is not None and self is not threading.current_thread():
            self.join(_END_S)
        # A process that waits for a disk that is gone cannot be killed.
        if self._process.exitcode is not None:
            self._process.close()
        self._channel.close()


def _current_device() -> int:
    import torch

    return torch.accelerator.current_device_index()


def _set_device(index: int) -> None:
    import torch

    torch.accelerator.set_device_index(index)


def _reason(error: OSError | RuntimeError) -> str:
    return getattr(error, "strerror", None) or first_line(error)
