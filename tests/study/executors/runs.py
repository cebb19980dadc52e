"""Runs of executors, for their tests: which can run here, how they end and what they leave."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.study.executors.executor_tasks import wait_for
from trickbag.errors import Stopped
from trickbag.train.folder.result import Result

__all__ = ["HAS_RAY", "RAY", "by_trial", "until_stopped", "when"]

HAS_RAY = importlib.util.find_spec("ray") is not None
RAY = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_RAY, reason="ray is not installed"),
    # What ray itself leaves open and how it warns of its own changes is not ours.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def when(path: Path, then: Callable[[], None]) -> threading.Thread:
    """Do something, from another thread, once a file is there."""

    def wait_and_do() -> None:
        wait_for(path)
        then()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


def by_trial(results: list[Result]) -> dict[str, Result]:
    result_of = {result.trial: result for result in results}
    assert len(result_of) == len(results), "a trial has two results"
    return result_of


def until_stopped(
    run: Iterator[Result], store: Callable[[Result], None] = lambda result: None
) -> tuple[list[Result], Stopped]:
    """Take results until the run is stopped; return them, and what it raised."""
    results = []
    try:
        for result in run:
            store(result)
            results.append(result)
    except Stopped as stopped:
        return results, stopped
    pytest.fail("nothing stopped the run")
