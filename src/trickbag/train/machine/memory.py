"""The most memory that a run took, as a price of its tricks."""

from __future__ import annotations

import re
from pathlib import Path

import torch

__all__ = ["PeakMemory"]

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Measures from when it is made: on CUDA what tensors took, on Linux what the whole process had in memory.

    A process that trained before keeps some of its memory, so that on a CPU figures are comparable
    within one process at best. Where neither can be measured, `bytes` is None.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._known = self._cuda
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            return
        try:
            _CLEAR.write_text("5")  # resets the high-water mark of this process (proc(5))
            self._known = True
        except OSError:
            pass

    @property
    def bytes(self) -> int | None:
        """The most bytes since the start, None where the system does not say."""
        if self._cuda:
            return int(torch.cuda.max_memory_allocated())
        if not self._known:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else None
