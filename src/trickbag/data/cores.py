"""How many processor cores this process may use, and how many threads the user has set."""

from __future__ import annotations

import os

from trickbag.data.cpu_limit import cpu_limit

__all__ = ["MAX_THREADS", "threads_set", "usable_cores"]

MAX_THREADS = 1024
"""The most threads of a process."""


def usable_cores() -> int:
    """Count the cores that this process may use, at least 1.

    Where the system limits a process to some of the machine's cores (`taskset`, a container's CPU
    set, a batch system), only those count, and where it limits the processor time (a container's
    quota) as many as that time fills.
    """
    # Python has this call on Linux alone.
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = cpu_limit()
    # Rounded down: beyond the limit all threads stand still until the next period.
    return cores if limit is None else max(1, min(cores, int(limit.cores)))


def threads_set() -> int | None:
    """Return the threads of a process that the environment asks for; None where it names none.

    As in PyTorch, MKL_NUM_THREADS counts before OMP_NUM_THREADS.
    """
    for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        # OpenMP takes a list, one number for each level of nested regions; ours are not nested.
        number = os.environ.get(name, "").partition(",")[0].strip()
        # A value that is no number counts as none, as OpenMP has it. So does one that no machine
        # has: libraries under torch crash with it.
        if number.isdecimal() and len(number) < 10 and 0 < int(number) <= MAX_THREADS:
            return int(number)
    return None
