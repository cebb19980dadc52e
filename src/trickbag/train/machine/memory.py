"""The peak memory of a run, which is part of the price of its tricks."""

from __future__ import annotations

import re
from pathlib import Path

import torch

__all__ = ["PeakMemory"]

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Measures from its construction on: CUDA tensors, or on Linux the memory of the process.

    Of MPS there is no figure: torch says what is in use now, and not the most that was.

    A process that trained before keeps some of its memory, so figures of a CPU can be compared
    within one process at best.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._measured = self._cuda
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            return
        if device == "mps":
            return
        try:
            _CLEAR.write_text("5")  # resets the high-water mark of this process (proc(5))
            self._measured = True
        except OSError:
            # Not Linux, or a container that forbids it: there is no figure.
            pass

    @property
    def bytes(self) -> int | None:
        """The most bytes since the start; None if the system does not measure them."""
        if self._cuda:
            return int(torch.cuda.max_memory_allocated())
        if not self._measured:
            return None
        line = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        return 1024 * int(line[1]) if line else None
