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
    "enter_worker",
    "queue_threads",
    "shielded_start",
    "without_main_module",
    "worker_death",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL_S = 1.0
"""How long to wait for a thread or a process that is about to end."""


@contextmanager
def shielded_start() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM while worker processes start.

    The workers inherit that, so that a signal to the whole group does not disturb their imports.
    The starting process receives a signal sent meanwhile as soon as the block ends.
    """
    # Windows has no signal masks.
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started here, because its own start within the block would lift the mask.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child_handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        # DataLoader installs a handler of SIGCHLD that raises at whatever line the main thread has
        # reached when a worker dies. It goes: the wait for the next batch reports the death too.
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and child_handler is not None:
            signal.signal(signal.SIGCHLD, child_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def without_main_module(dataset: object) -> Iterator[None]:
    """Start processes in the block that do not import the program's main module.

    If `dataset`, which is sent to them, is pickled with names of the main module, they import it as
    usual. Otherwise a script without `if __name__ == "__main__":` would run once more in each
    worker, and start itself.
    """
    # Such a worker ends with an error, and its parent waits for ever if it sends more than a pipe
    # holds, because CPython keeps its own copy of the pipe's other end open.
    names = _MainNames()
    ForkingPickler(names).dump(dataset)
    if names.present:
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _MainNames:
    """A file for pickled data that keeps only whether the data name the main module."""

    def __init__(self) -> None:
        self.present = False

    def write(self, data: bytes) -> int:
        self.present = self.present or b"__main__" in bytes(data)
        return len(data)


def queue_threads(queues: Iterable[object]) -> list[threading.Thread]:
    """Return the threads that write into a DataLoader's queues, to join once these are closed.

    If nobody waits for them they can be the last to hold a queue's semaphores. If Python then ends,
    it stops them half-way, and its resource tracker warns of a leaked semaphore.
    """
    threads = (getattr(queue, "_thread", None) for queue in queues)
    return [thread for thread in threads if thread is not None]


def enter_worker(_worker_id: int) -> None:
    """Set up a worker process: it ignores SIGINT, and SIGTERM to its parent's group.

    Ctrl-C and `timeout` signal the whole process group. The workers must survive that, because the
    parent still trains to the end of a step and saves a checkpoint. SIGTERM to a worker itself ends
    it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if hasattr(signal, "pthread_sigmask"):
        # Sent to the group while the worker started, and held back by `shielded_start`: dropped.
        while signal.sigpending().intersection(_SIGNALS):
            signal.sigwait(_SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def worker_death(error: BaseException, workers: Iterable[BaseProcess]) -> RunFailed | None:
    """Return the failure to report if `error` means that a worker process died, else None.

    `error` was raised while the parent waited for a batch.
    """
    text = str(error)
    # PyTorch's prefix of an error that the worker's own code has raised.
    if text.startswith("Caught "):
        return None
    # PyTorch reports a death as a RuntimeError. But a batch that was being transferred fails as its
    # connection does, a moment before the process is seen to have ended.
    if "DataLoader worker (pid" not in text and not wait(
        [worker.sentinel for worker in workers], timeout=POLL_S
    ):
        return None
    return RunFailed(
        "a data worker process died: perhaps the memory ran out, or the shared memory (/dev/shm)",
        "set data.workers lower, or 0 "
        "(a script of your own needs `if __name__ == '__main__':` around its calls)",
    )
