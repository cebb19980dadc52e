"""The memory that this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["UNKNOWN_MEMORY", "usable_memory"]

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
