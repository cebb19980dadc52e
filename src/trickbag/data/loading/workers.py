"""Worker processes that leave Ctrl-C and termination to the process that started them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import TYPE_CHECKING

from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.process import BaseProcess

__all__ = [
    "POLL_S",
    "apart_from_main",
    "enter_worker",
    "feeders_of",
    "shielded_start",
    "worker_death",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL_S = 1.0
"""How long to wait for what is about to happen."""


@contextmanager
def shielded_start() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM while worker processes start, which inherit that and so import undisturbed.

    The starting process gets a signal sent meanwhile as soon as the block ends. PyTorch's handler
    of SIGCHLD, which would report a dead worker from any line of the main thread, is taken out
    again: waiting for a batch reports it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start, within the block, would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    on_child = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and on_child is not None:
            signal.signal(signal.SIGCHLD, on_child)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def apart_from_main(sent: object) -> Iterator[None]:
    """Start processes within the block that do not import the program's main module, unless what is `sent` needs it.

    It would be run once more, and a script without `if __name__ == "__main__":` would so start
    itself. Its process ends with an error, and its parent waits for ever where what it sends is
    more than a pipe holds, as CPython's own copy of the pipe's other end stays open.
    """
    names = _Names()
    ForkingPickler(names).dump(sent)
    if names.main:
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Names:
    """A file of pickled data that keeps nothing but whether they name something of the main
    module."""

    def __init__(self) -> None:
        self.main = False

    def write(self, data: bytes) -> int:
        self.main = self.main or b"__main__" in bytes(data)
        return len(data)


def feeders_of(queues: Iterable[object]) -> list[threading.Thread]:
    """Return the threads that write into queues of a DataLoader, to wait for once these are closed.

    Left to themselves they can be the last that hold a queue's semaphores. Python that ends in that
    moment stops them half-way, and its tracker of semaphores then warns of one that leaked.
    """
    found = (getattr(queue, "_thread", None) for queue in queues)
    return [thread for thread in found if thread is not None]


def enter_worker(_worker_id: int) -> None:
    """Set up a worker process: out of the terminal's process group, deaf to SIGINT, ended by SIGTERM to itself alone.

    Ctrl-C and `timeout` signal the whole group; the workers must outlive that, for the checkpoint
    that follows. What they sent while the worker started was held back, and is dropped.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if hasattr(signal, "pthread_sigmask"):
        while signal.sigpending().intersection(_SIGNALS):
            signal.sigwait(_SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def worker_death(error: BaseException, workers: Iterable[BaseProcess]) -> RunFailed | None:
    """Return the failure to report if `error`, met while waiting for a batch, comes of a worker that died, else None.

    PyTorch reports that as a RuntimeError, but a batch that was on its way fails as a connection
    does, a moment before its process is seen to have ended.
    """
    text = str(error)
    if text.startswith("Caught "):  # an error of the code that a worker ran
        return None
    if "DataLoader worker (pid" not in text and not wait(
        [worker.sentinel for worker in workers], timeout=POLL_S
    ):
        return None
    return RunFailed(
        "a data worker process died: perhaps the memory ran out, or the shared memory (/dev/shm); "
        "set data.workers "
        "lower, or 0 (a script of your own needs `if __name__ == '__main__':` around its calls)"
    )
