"""The arithmetic of load: how many cores others use, and the threads of a run beside them.

What the machine that runs the tests does meanwhile is in none of these numbers.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.train.machine import load
from trickbag.train.machine.load import (
    ProcessorTimes,
    busy_cores,
    busy_s,
    load_since,
    threads_beside,
)

STAT = """cpu  160 20 40 800 20 4 6 10 5 0
cpu0 100 10 20 400 10 2 3 4 0 0
cpu1 10 0 0 900 90 0 0 0 0 0
cpu10 50 10 20 400 10 2 3 6 5 0
intr 12 3
ctxt 5
"""


def test_busy_time_is_that_of_the_cores_of_the_process() -> None:
    # Idle time and waits for a disk are not busy; time that a hypervisor took away is.
    assert busy_s(STAT, {0, 10}, 100) == (1.39, 0.91)
    assert busy_s(STAT, {1}, 100) == (0.1,)
    assert busy_s(STAT, {7}, 100) == ()  # a core that went off
    assert busy_s("", {0}, 100) == ()


def times(
    clock_s: float, cores_s: tuple[float, ...], own_s: float = 0.0, group_s: float | None = None
) -> ProcessorTimes:
    return ProcessorTimes(cores_s=cores_s, group_s=group_s, own_s=own_s, clock_s=clock_s)


def test_what_this_process_does_is_no_load() -> None:
    before = times(10.0, (5.0, 7.0), own_s=1.0)
    after = times(12.0, (7.0, 8.0), own_s=2.5)  # 3 s of two cores in 2 s, 1.5 of them its own
    assert busy_cores(before, after, 2) == pytest.approx(0.75)


def test_a_limit_of_time_leaves_idle_cores_to_others() -> None:
    # 6 of 8 cores are busy with work outside the group: its two cores are still there.
    before = times(0.0, (0.0,) * 8, group_s=0.0)
    after = times(1.0, (1.0,) * 6 + (0.0, 0.0), group_s=0.0)
    assert busy_cores(before, after, 2) == 0
    # Work in the group takes time of its limit, wherever it runs.
    used = times(1.0, (1.0, 0.0) * 4, own_s=0.25, group_s=1.75)
    assert busy_cores(before, used, 2) == pytest.approx(1.5)
    assert busy_cores(before, times(1.0, (1.0,) * 8, group_s=0.0), 2) == 2


def test_readings_that_say_nothing_are_no_load() -> None:
    before = times(1.0, (5.0, 5.0))
    assert busy_cores(before, before, 2) == 0
    assert busy_cores(before, times(2.0, (9.0,)), 2) == 0  # a core went off
    assert load_since(None) == 0


@settings(deadline=None)
@given(
    cores=st.integers(1, 256),
    seconds=st.floats(0.1, 1e4),
    share=st.floats(0, 1),
    this=st.floats(0, 1),
    group=st.none() | st.floats(0, 300),
    limit=st.integers(1, 256),
)
def test_load_is_between_nothing_and_all_cores(
    cores: int, seconds: float, share: float, this: float, group: float | None, limit: int
) -> None:
    limit = min(limit, cores)
    zero = None if group is None else 0.0
    before = times(0.0, (0.0,) * cores, group_s=zero)
    busy = share * seconds * cores
    after = times(
        seconds,
        (busy / cores,) * cores,
        own_s=this * busy,
        group_s=None if group is None else group * seconds,
    )
    load = busy_cores(before, after, limit)
    assert 0 <= load <= limit
    if limit == cores and group is None:
        assert load == pytest.approx((1 - this) * share * cores, abs=1e-6)


@pytest.mark.parametrize(
    ("cores", "busy", "runs", "threads"),
    [
        (2, 0.0, [], 2),
        (2, 0.4, [], 2),  # a little of other work takes no core
        (2, 0.5, [], 1),
        (2, 2.0, [], 1),
        # Two runs that begin together, whatever each has used so far.
        (2, 0.0, [None], 1),
        (2, 1.0, [None], 1),
        (16, 1.0, [None], 8),
        (16, 2.0, [None, None], 5),
        # One that goes on has its cores, while it computes and while it waits.
        (16, 8.0, [8], 8),
        (16, 0.0, [8], 8),
        (16, 8.0, [8, None], 4),
        (16, 16.0, [16], 1),
        (16, 12.0, [8], 4),  # other work beside it
    ],
)
def test_threads_beside_others(
    cores: int, busy: float, runs: list[int | None], threads: int
) -> None:
    assert threads_beside(cores, cores=cores, busy=busy, runs=runs) == threads


RUNS = st.lists(st.none() | st.integers(1, 64), max_size=8)


@settings(deadline=None)
@given(limit=st.integers(1, 64), cores=st.integers(1, 64), busy=st.floats(0, 64), runs=RUNS)
def test_a_run_has_at_least_a_thread_and_no_core_of_others(
    limit: int, cores: int, busy: float, runs: list[int | None]
) -> None:
    threads = threads_beside(limit, cores=cores, busy=busy, runs=runs)
    assert 1 <= threads <= limit
    taken = sum(run or 0 for run in runs)
    assert threads == 1 or threads + taken <= cores
    # More load or one more run never gives more threads.
    assert threads_beside(limit, cores=cores, busy=busy + 1, runs=runs) <= threads
    assert threads_beside(limit, cores=cores, busy=busy, runs=[*runs, 1]) <= threads
    assert threads_beside(limit, cores=cores, busy=busy + 1, runs=[*runs, None]) <= threads


@settings(deadline=None)
@given(cores=st.integers(1, 64), others=st.integers(0, 8))
def test_runs_that_begin_together_fit_on_the_cores(cores: int, others: int) -> None:
    # Each sees the others that are about to begin, or that have just settled on their share.
    settled: list[int] = []
    for number in range(others + 1):
        beginning = others - number
        runs = [*settled, *[None] * beginning]
        settled.append(threads_beside(cores, cores=cores, busy=float(others), runs=runs))
    assert sum(settled) <= max(cores, others + 1)
    assert max(settled) - min(settled) <= 1 or others + 1 > cores


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such system")
def test_the_times_of_this_machine_only_grow() -> None:
    before, after = ProcessorTimes.read(), ProcessorTimes.read()
    assert before is not None
    assert after is not None
    assert len(before.cores_s) == len(os.sched_getaffinity(0))
    assert after.own_s >= before.own_s > 0
    assert all(b >= a for a, b in zip(before.cores_s, after.cores_s, strict=True))


def test_systems_that_count_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load, "_STAT", tmp_path / "none")
    assert ProcessorTimes.read() is None
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert ProcessorTimes.read() is None
