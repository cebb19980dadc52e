"""How many cores other processes use, and how many threads a run takes beside them.

The threads of OpenMP wait for each other after each operation. Where two of them share a core, all
others stand still in turns: two runs with as many threads as cores each are far slower than two
runs with half of them (LOG).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trickbag.data.cores import usable_cores
from trickbag.data.cpu_limit import cpu_limit

__all__ = [
    "MEASURED_S",
    "ProcessorTimes",
    "busy_cores",
    "busy_s",
    "load_between",
    "load_since",
    "threads_beside",
]

MEASURED_S = 0.5
"""The shortest time over which the load is measured: the system counts in ticks of 10 ms."""

_STAT = Path("/proc/stat")


@dataclass(frozen=True, kw_only=True)
class ProcessorTimes:
    """What the system has counted until a moment, in seconds.

    - cores_s: for each core that this process may use the time that it was busy.
    - group_s: the time of this process's control group, None where that has no limit.
    - own_s: the time of this process, and of its children that have ended.
    - clock_s: the time of a clock.
    """

    cores_s: tuple[float, ...]
    group_s: float | None
    own_s: float
    clock_s: float

    @classmethod
    def read(cls) -> ProcessorTimes | None:
        """Read the times; None on a system that does not count the time of each core."""
        if not hasattr(os, "sched_getaffinity"):
            return None
        try:
            text = _STAT.read_text()
        except OSError:
            return None
        cores_s = busy_s(text, os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK"))
        limit = cpu_limit()
        return cls(
            cores_s=cores_s,
            group_s=None if limit is None else limit.used_s(),
            own_s=time.process_time() + sum(os.times()[2:4]),
            clock_s=time.monotonic(),
        )


def busy_s(stat: str, cores: set[int], ticks_per_s: int) -> tuple[float, ...]:
    """Return the seconds that cores were busy, from the text of /proc/stat, by their numbers.

    Time that a hypervisor gave to others counts as busy.
    """
    lines = (line.split() for line in stat.splitlines())
    ticks = {
        int(words[0][3:]): [int(word) for word in words[1:9]]  # guest time is in that of users
        for words in lines
        if words and words[0].startswith("cpu") and words[0][3:].isdecimal()
    }
    idle = {core: sum(counts[3:5]) for core, counts in ticks.items()}  # idle, waiting for a disk
    return tuple(
        (sum(ticks[core]) - idle[core]) / ticks_per_s for core in sorted(cores) if core in ticks
    )


def busy_cores(before: ProcessorTimes, after: ProcessorTimes, cores: int) -> float:
    """Return how many of the `cores` that this process may use others used between two moments.

    Where a control group limits the time, `cores` are fewer than those that are counted. Work
    beyond the group then takes only what leaves fewer than `cores` idle, work in it all that it
    does.
    """
    seconds = after.clock_s - before.clock_s
    if seconds <= 0 or len(before.cores_s) != len(after.cores_s):
        return 0.0
    this = (after.own_s - before.own_s) / seconds
    used = (sum(after.cores_s) - sum(before.cores_s)) / seconds - this
    taken = cores - (len(after.cores_s) - used)
    if before.group_s is not None and after.group_s is not None:
        taken = max(taken, (after.group_s - before.group_s) / seconds - this)
    return min(max(0.0, taken), float(cores))


def threads_beside(limit: int, *, cores: int, busy: float, runs: Sequence[int | None]) -> int:
    """Return the threads of a run that begins beside others, from 1 to `limit`.

    `busy` is how many of the `cores` other processes use. `runs` are the threads of each other run
    of this package, None for those that are still about to begin, which use about a core each.
    Cores in use are left to who uses them; those that are free are divided among the runs that are
    about to begin.
    """
    beginning = sum(threads is None for threads in runs)
    settled = sum(threads for threads in runs if threads is not None)
    other = int(max(0.0, busy - beginning) + 0.5)
    free = cores - max(other, settled)
    return min(limit, max(1, free // (1 + beginning)))


def load_between(before: ProcessorTimes | None, after: ProcessorTimes | None) -> float:
    """Return how many usable cores others used between two moments; 0 where that is unknown."""
    if before is None or after is None or after.clock_s - before.clock_s < MEASURED_S:
        return 0.0
    return busy_cores(before, after, usable_cores())


def load_since(before: ProcessorTimes | None) -> float:
    """Return how many usable cores others have used since a moment, at least MEASURED_S ago."""
    if before is None:
        return 0.0
    time.sleep(max(0.0, before.clock_s + MEASURED_S - time.monotonic()))
    return load_between(before, ProcessorTimes.read())
