"""A thread that loads what a loader requests, in the process that trains.

Its batches need no copy between processes, and it starts at once. What ends a process of the
operating system, such as a fault in a decoder, ends the run: see `worker_kind` for where it is
taken.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from trickbag.data.loading.courier import END_S, Item, current_device, set_device
from trickbag.data.loading.worker import out_of_memory

if TYPE_CHECKING:
    import queue

    from torch import Tensor

    from trickbag.data.loading.worker import Loadable, Loaded

__all__ = ["ThreadCourier"]


class _Ended(Exception):
    """Leave a batch whose loader is closed."""


class ThreadCourier(threading.Thread):
    """A thread that loads from `source`; see `Courier`.

    With `pin_memory` the tensors of its results are in pinned memory.
    """

    def __init__(
        self,
        place: int,
        source: Loadable,
        requests: queue.SimpleQueue[Item | None],
        pin_memory: bool,
    ) -> None:
        super().__init__(name=f"data-{place}", daemon=True)
        self.signs = 0
        self.failure: Exception | None = None
        self._source, self._requests, self._pin_memory = source, requests, pin_memory
        # A new thread would use the first device.
        self._device = current_device() if pin_memory else 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Load until there is nothing more to request."""
        item = None
        try:
            if self._pin_memory:
                set_device(self._device)
            while (item := self._requests.get()) is not None and not self._ended.is_set():
                item.results.put((item.place, self._result(item.request)))
                item = None
        except _Ended:
            pass
        except BaseException as error:
            # No thread ends in silence: who waits for its batch would wait for ever.
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            self.failure = failure
            if item is not None:
                item.results.put((item.place, failure))

    def _result(self, request: object) -> Loaded | Exception:
        try:
            tensors, rest = self._source.load(request, self._alive)
            return tuple(map(_pinned, tensors)) if self._pin_memory else tensors, rest
        except _Ended:
            raise
        except Exception as error:
            return out_of_memory(error) or error

    def _alive(self) -> None:
        self.signs += 1
        if self._ended.is_set():
            raise _Ended

    def end(self) -> None:
        """End the thread, after the image that it reads; one whose disk is gone is left behind."""
        self._ended.set()
        if self.ident is not None and self is not threading.current_thread():
            self.join(END_S)


def _pinned(tensor: Tensor) -> Tensor:
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    # By NumPy: torch would copy with threads of its own beside those that compute.
    np.copyto(pinned.numpy(), tensor.numpy())
    return pinned
