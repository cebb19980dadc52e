"""The memory that this process may use, and what becomes of what it has freed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["UNKNOWN_MEMORY", "keep_freed_memory", "usable_memory"]

UNKNOWN_MEMORY = 2**34
"""What is assumed where the system does not say: 16 GiB."""

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Files of Linux's control groups, version 2 and 1, in which a container sees its own limit."""


def usable_memory() -> int:
    """Return the bytes of memory of the machine, or of a container's limit if that is less."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = UNKNOWN_MEMORY
    for file in _CGROUP_LIMITS:
        # A file that is not there is no limit, nor is the word `max` in it.
        with contextlib.suppress(OSError, ValueError):
            memory = min(memory, int(file.read_text("ascii")))
    return memory


_THRESHOLDS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""The variables by which a person sets what `keep_freed_memory` sets."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The numbers that glibc's malloc.h gives to these parameters."""


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; tell whether it does from now on.

    A training step frees what the next one allocates again. glibc gives large blocks back to the
    system at once, and fetching them anew costs the kernel a page fault for each 4 KB. Other
    allocators are left alone, and so is what the environment sets. To be called by programs alone:
    the memory of a process is not a library's.
    """
    import ctypes

    if any(name in os.environ for name in _THRESHOLDS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc, or no way to ask it
        return False
    # Both, in this order: setting either ends glibc's own adjustment of the other.
    return bool(mallopt(_MMAP_THRESHOLD, 32 * 2**20) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
