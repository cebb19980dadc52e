"""Worker processes: they leave Ctrl-C to the process that started them, and end with it.

Imports no torch, so that a new process watches its parent before it imports anything large.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess

__all__ = [
    "POLL_S",
    "end_with_parent",
    "enter_worker",
    "exit_text",
    "shielded_start",
    "without_main_module",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL_S = 0.5
"""How long to wait at a time, before looking whether the wait is still for something."""


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
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def without_main_module(pickled: bytes) -> Iterator[None]:
    """Start processes in the block that do not import the program's main module.

    If `pickled`, the data that are sent to them, has names of the main module, they import it as
    usual. Otherwise a script without `if __name__ == "__main__":` would run once more in each
    worker, and start itself.
    """
    if b"__main__" in pickled:
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def end_with_parent() -> None:
    """End this worker process, at once, when the process that started it is gone.

    Also if it was gone before this call: the watch is on a pipe that the parent holds open, and on
    the parent's identity, which the parent has handed over.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_watch, args=(parent,), name="end-with-parent", daemon=True).start()


def _watch(parent: BaseProcess) -> None:
    # A process that the parent has forked can hold the pipe open after its death.
    while not wait([parent.sentinel], POLL_S):
        if hasattr(os, "getpgid") and os.getppid() != parent.pid:
            break
    # Nothing is put away: a study that goes on must not find two writers.
    os._exit(1)


def enter_worker() -> None:
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


def exit_text(code: int) -> str:
    """Return why a process ended, by its exit code: `exit code 3`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
