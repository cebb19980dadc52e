"""A worker process of a loader, and the thread that carries requests to it and results back."""

from __future__ import annotations

import multiprocessing
import socket
import threading
from typing import TYPE_CHECKING

from trickbag.data.loading.channel import Channel
from trickbag.data.loading.courier import END_S, Item, current_device, set_device
from trickbag.data.loading.worker import out_of_memory, serve
from trickbag.data.loading.workers import POLL_S, exit_text
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    import queue

    from trickbag.data.loading.worker import Loaded, Message

__all__ = ["ProcessCourier"]


class ProcessCourier(threading.Thread):
    """A worker process, and the thread that carries requests to it and their results back.

    `signs` counts its signs of life; `failure` is set once it can carry no more.
    """

    def __init__(
        self,
        place: int,
        pickled: bytes,
        requests: queue.SimpleQueue[Item | None],
        pin_memory: bool,
    ) -> None:
        super().__init__(name=f"data-{place}", daemon=True)
        self.signs = 0
        self.failure: Exception | None = None
        self._requests, self._pickled, self._pin_memory = requests, pickled, pin_memory
        self._device = current_device() if pin_memory else 0
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
                set_device(self._device)
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
        self._process.join(END_S)
        if self.ident is not None and self is not threading.current_thread():
            self.join(END_S)
        # A process that waits for a disk that is gone cannot be killed.
        if self._process.exitcode is not None:
            self._process.close()
        self._channel.close()
