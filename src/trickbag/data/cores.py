"""How many processor cores this process may use."""

from __future__ import annotations

import os

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Count the cores that this process may use, at least 1.

    Where the system limits a process to some of the machine's cores (`taskset`, a container's CPU
    set, a batch system), only those count.
    """
    # Python has this call on Linux alone.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
