"""The process group of a command that `torchrun` has started."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from trickbag.errors import TrickbagError, UserError
from trickbag.train.machine.parallel import ProcessLost

__all__ = ["launched_group"]

_ENDED = "trickbag/ended"
"""The key of the store under which the processes that end with an error are counted."""

_END_TIMEOUT_S = 10.0


@contextmanager
def launched_group() -> Iterator[bool]:
    """Create the process group that `torchrun` describes by the environment, and close it.

    Gives whether this process has rank 0. If the processes end with errors, one of these is for a
    person to read: the others have `elsewhere` set. Raises UserError if the processes cannot
    connect.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ
    if alone or distributed.is_initialized():
        yield not distributed.is_initialized() or distributed.get_rank() == 0
        return
    try:
        with _ended_by_termination():
            store, rank, size = next(rendezvous("env://"))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        group_store = PrefixStore("trickbag", store)
        distributed.init_process_group(backend, store=group_store, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot join the other processes of the run: {' '.join(str(error).split())}"
        ) from error
    try:
        yield rank == 0
    except TrickbagError as error:
        # Without the process that kept the store, each one reports its own error.
        with suppress(RuntimeError):
            error.elsewhere = store.add(_ENDED, 1) > 1
            # The store ends with this process, and the others still have to count themselves in it.
            keeps_store = rank == 0 and "TORCHELASTIC_USE_AGENT_STORE" not in os.environ
            if keeps_store and not isinstance(error, ProcessLost):
                _wait_until(lambda: store.add(_ENDED, 0) >= size)
        raise
    finally:
        distributed.destroy_process_group()


@contextmanager
def _ended_by_termination() -> Iterator[None]:
    """Let SIGTERM end this process in the block, which waits where no handler of Python can run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _END_TIMEOUT_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
