"""A worker process of a loader, from its start to its end.

Imports no torch before it watches its parent.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
import traceback
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trickbag.data.loading.channel import Channel
from trickbag.data.loading.workers import end_with_parent, enter_worker
from trickbag.errors import RunFailed, TrickbagError, memory_failure
from trickbag.output import guard_streams

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from torch import Tensor

__all__ = ["Loadable", "Loaded", "Message", "out_of_memory", "serve"]

Loaded = tuple["Sequence[Tensor]", Any]
"""What a request gives: tensors, and a value that can be pickled."""

Message = tuple[Literal["alive", "batch", "failed"], Any]
"""What a worker sends: its kind and its content.

alive: the worker has read images since the last message. batch: the types and shapes of the
tensors, which follow the message, and the value beside them. failed: the error that a request ended
with.
"""


class Loadable(Protocol):
    """What the workers load from; it can be pickled."""

    def load(self, request: Any, alive: Callable[[], None]) -> Loaded:
        """Return what is requested; calls `alive` after each image."""


def serve(connection: socket.socket) -> None:
    """Load what the parent requests, until it hangs up. The worker process's main function."""
    end_with_parent()
    guard_streams()
    enter_worker()
    channel = Channel(connection)
    with contextlib.suppress(EOFError, OSError):
        pickled = channel.receive_bytes()
        load = _loading(pickled)
        del pickled
        alive = _Alive(channel)
        while True:
            result = load(channel.receive(), alive)
            if isinstance(result, Exception):
                channel.send(("failed", _portable(result)))
                continue
            tensors, rest = result
            channel.send(("batch", ([(t.dtype, tuple(t.shape)) for t in tensors], rest)))
            channel.send_tensors(tensors)
    # At once: there is nothing to put away.
    os._exit(0)


def _loading(
    pickled: bytes | bytearray,
) -> Callable[[object, Callable[[], None]], Loaded | Exception]:
    """Return the function that loads, which returns its errors; none of them is the connection's.

    If there is no source to load from, it always returns why.
    """
    try:
        source: Loadable = pickle.loads(pickled)
        import torch

        # The processors are shared by the workers.
        torch.set_num_threads(1)
    except Exception as error:
        failure = error
        return lambda _request, _alive: failure

    def load(request: object, alive: Callable[[], None]) -> Loaded | Exception:
        try:
            return source.load(request, alive)
        except Exception as error:
            return error

    return load


class _Alive:
    """Tells the parent, at most once a second, that another image has been read."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._last = channel, time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            self._channel.send(("alive", None))


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, with the worker's traceback where it has to be shown."""
    error = out_of_memory(error) or error
    if not isinstance(error, TrickbagError):
        error.add_note("In a data worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def out_of_memory(error: Exception) -> RunFailed | None:
    """Return the failure to report where an error means that memory ran out, else None."""
    return memory_failure(
        error,
        "while a batch was loaded",
        "set training.batch_size, data.image_size or data.workers lower",
    )
