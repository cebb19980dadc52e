"""Measure the times of jobs that do the same, taken in turns."""

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
    """Restart this program with an allocator that keeps freed memory, as in a study's workers.

    Otherwise a job would at times pay for fetching memory anew, depending on the job before it.
    """
    if not _ALLOCATOR.items() <= os.environ.items():  # glibc reads them when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | _ALLOCATOR)


def in_turns(
    jobs: Mapping[str, Callable[[], Any]],
    rounds: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of each job in each round, by a clock: `time.process_time` is another.

    In a round every job runs once, in every second one in reverse order. Every job has run twice
    before the clock starts. The clock waits for a GPU to end what the job has started on it.
    """
    for job in jobs.values():
        job()
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name in list(jobs) if number % 2 == 0 else list(jobs)[::-1]:
            _wait(device)
            started = clock()
            jobs[name]()
            _wait(device)
            seconds[name].append(clock() - started)
    return seconds


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def beside(ours_s: list[float], other_s: list[float]) -> dict[str, float]:
    """Return the other's time over ours, round by round: the median and the range."""
    ratios = sorted(b / a for a, b in zip(ours_s, other_s, strict=True))
    return {"median": median(ratios), "low": ratios[0], "high": ratios[-1]}
