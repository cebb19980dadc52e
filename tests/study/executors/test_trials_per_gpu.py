"""Several trials at a time on each device."""

from __future__ import annotations

from typing import Any

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import trials
from trickbag.errors import UserError
from trickbag.study.executors.local import Local


def test_there_are_as_many_workers_for_each_device() -> None:
    assert Local(devices=("0", "1", "2"), trials_per_gpu=2).machine.workers == 6


def test_trials_share_each_device() -> None:
    local = Local(devices=("GPU-a", "GPU-b"), trials_per_gpu=2, threads=1)
    with local.started() as started:
        # The processes of all places are there, so that each trial can get one of its own.
        assert [worker.place for worker in started.workers] == [0, 1, 2, 3]
        results = list(started.run(tasks.Report(), trials(8)))
    device = {
        result.metrics["pid"]: result.environment["CUDA_VISIBLE_DEVICES"] for result in results
    }
    assert set(device.values()) <= {"GPU-a", "GPU-b"}
    # A worker that was late for all trials has reported nothing.
    assert 1 <= len(device) <= 4
    assert all(list(device.values()).count(name) <= 2 for name in ("GPU-a", "GPU-b"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials_per_gpu": 0}, "trials_per_gpu = 0: must be at least 1"),
        ({"trials_per_gpu": 2, "workers": 2}, "both say how many trials run at a time; give one"),
        ({"trials_per_gpu": 2, "devices": ()}, "there is no CUDA device; workers is the number"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Local(**wrong)
