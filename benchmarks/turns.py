"""Times of things that do the same job, taken in turns: used by the scripts beside it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

__all__ = ["beside", "in_turns", "keep_memory"]

_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30)}


def keep_memory() -> None:
    """Begin this program anew with an allocator that keeps freed memory, as the worker processes of studies have it.

    Else either side would at times pay for fetching memory anew, by who ran before it.
    """
    if not _ALLOCATOR.items() <= os.environ.items():  # it reads them when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | _ALLOCATOR)


def in_turns(
    jobs: Mapping[str, Callable[[], Any]], rounds: int, device: str
) -> dict[str, list[float]]:
    """Return the seconds of each job in each round, in which all take their turn; the order turns about.

    Every job has run twice before the clock starts. What a GPU still has to do belongs to the job
    that asked for it.
    """
    for job in jobs.values():
        job()
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name in list(jobs) if number % 2 == 0 else list(jobs)[::-1]:
            _wait(device)
            started = time.perf_counter()
            jobs[name]()
            _wait(device)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def beside(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Return their time over ours, round by round: the median, and what all rounds lie within."""
    ratios = sorted(other / own for own, other in zip(ours, theirs, strict=True))
    return {"median": median(ratios), "low": ratios[0], "high": ratios[-1]}
