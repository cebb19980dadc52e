"""The runs on this machine know of each other, and divide its cores."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trickbag.data.cores import threads_set, usable_cores
from trickbag.data.decoding.cache import cache_folder
from trickbag.errors import Note, UserError
from trickbag.locks import is_locked, locked
from trickbag.train.machine.load import ProcessorTimes, load_since, threads_beside

__all__ = ["CoreShare", "Presence", "all_cores", "present"]

_NAME = re.compile(r"(?P<pid>\d+)-(?P<token>[0-9a-f]{8})(?:\.(?P<threads>\d{1,5}))?")


@dataclass(frozen=True, kw_only=True)
class CoreShare:
    """The threads of a run on the CPU; `note` says why they are fewer than the cores."""

    threads: int
    note: Note | None = None


def all_cores() -> CoreShare:
    """Return the threads of a run that has the cores for itself: PyTorch's, if it may use them."""
    import torch  # late, so that who only looks for runs needs none

    threads = torch.get_num_threads()
    if threads_set() is None:  # PyTorch knows nothing of a limit of processor time
        threads = min(threads, usable_cores())
    return CoreShare(threads=threads)


@dataclass(kw_only=True)
class Presence:
    """A run that other runs of this machine can see, from before it has settled its threads.

    - folder: has a locked file for each run, and another one once its threads are settled.
    - load: returns how many cores others have used since the run began.
    """

    folder: Path
    load: Callable[[], float]
    _name: str = field(init=False, default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(4)}")
    _held: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    def __enter__(self) -> Presence:
        self._hold(self._name)
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def share(self) -> CoreShare:
        """Return the threads of this run beside the others and other work.

        All cores are its own where nobody uses them, and a number of threads in the environment
        (OMP_NUM_THREADS) is taken as it is.
        """
        alone = all_cores()
        if threads_set() is not None or alone.threads == 1:
            return alone
        cores, busy, runs = usable_cores(), self.load(), self.others()
        threads = threads_beside(alone.threads, cores=cores, busy=busy, runs=runs)
        if threads == alone.threads:
            return alone
        beside = f"other processes use {busy:.1f} of {cores} cores"
        if runs:
            beside += f", and {len(runs)} other run{'s' if len(runs) > 1 else ''} of trickbag "
            beside += "go on or begin" if len(runs) > 1 else "goes on or begins"
        reason = (
            f"the run computes with {threads} thread{'s' if threads > 1 else ''}, not "
            f"{alone.threads}, to its end: as it begins, {beside} "
            f"(--set training.threads={alone.threads} takes all)"
        )
        return CoreShare(threads=threads, note=Note("choice", None, reason))

    def settle(self, threads: int) -> None:
        """Tell the others how many threads this run has."""
        self._hold(f"{self._name}.{threads}")

    def others(self) -> list[int | None]:
        """Return the threads of each other run that shares cores with this one, None if open."""
        runs: dict[str, int | None] = {}
        with contextlib.suppress(OSError):
            for file in sorted(self.folder.iterdir()):
                match = _NAME.fullmatch(file.name)
                if match is None or not _shares_cores(int(match["pid"])):
                    continue
                name = f"{match['pid']}-{match['token']}"
                if name == self._name or not is_locked(file):
                    continue
                # A run that has settled has two files; in their order the one with threads is last.
                runs[name] = int(match["threads"]) if match["threads"] else None
        return [*runs.values()]

    def _hold(self, name: str) -> None:
        # Without a folder to write in, or locks on its disk, the load alone tells of others.
        with contextlib.suppress(UserError):
            self._held.enter_context(locked(self.folder / name, lambda _: None, required=False))


def _shares_cores(pid: int) -> bool:
    """Tell whether a process may use cores of this one; True where that is not known."""
    if pid == os.getpid() or not hasattr(os, "sched_getaffinity"):
        return True
    try:
        return bool(os.sched_getaffinity(pid) & os.sched_getaffinity(0))
    except OSError:  # a process of another container
        return True


@contextlib.contextmanager
def present() -> Iterator[Presence]:
    """Let other runs of this machine see the run of the block, and measure the load from now on."""
    before = ProcessorTimes.read()
    # A home folder can be that of many machines.
    folder = cache_folder() / "runs" / re.sub(r"[^\w.-]", "_", platform.node() or "machine")
    with Presence(folder=folder, load=lambda: load_since(before)) as presence:
        yield presence
