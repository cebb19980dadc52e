"""How executors divide the cores and devices of a machine."""

from __future__ import annotations

import os

import pytest

from tests.study.executors import executor_tasks as tasks
from tests.study.executors.executor_tasks import trials
from tests.study.executors.runs import HAS_RAY
from trickbag.data.cores import usable_cores
from trickbag.study.executors import Executor
from trickbag.study.executors.devices import cuda_devices, listed_devices
from trickbag.study.executors.local import Local
from trickbag.study.executors.ray import Ray


def test_workers_share_cores_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = dict(os.environ)
    local = Local(workers=2, threads=3, devices=("5", "GPU-ab"))
    results = list(local.run(tasks.Report(), trials(4)))
    assert dict(os.environ) == before
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    assert {result.environment[name] for result in results for name in names} == {"3"}
    device = {
        result.metrics["pid"]: result.environment["CUDA_VISIBLE_DEVICES"] for result in results
    }
    assert sorted(device.values()) in (["5", "GPU-ab"], ["5"], ["GPU-ab"])
    monkeypatch.delenv("OMP_NUM_THREADS")
    alone = next(iter(Local(workers=1, devices=()).run(tasks.Report(), trials(1))))
    assert "CUDA_VISIBLE_DEVICES" not in alone.environment
    assert alone.environment["OMP_NUM_THREADS"] == str(usable_cores())


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores and no device, and an environment that names no number of threads."""
    for module in ("local", "ray"):
        monkeypatch.setattr(f"trickbag.study.executors.{module}.usable_cores", lambda: 8)
        monkeypatch.setattr(f"trickbag.study.executors.{module}.cuda_devices", lambda: ())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def executors_of_any_size() -> list[Executor]:
    ray = [Ray(cpus=2), Ray(cpus=2, workers=1)] if HAS_RAY else []
    return [*(Local(workers=n) for n in (1, 2, 8, 16)), Local(), *ray]


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "2"}, 2),
        # As PyTorch reads them.
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "1"}, 1),
        ({"MKL_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "2,1"}, 2),
    ],
)
def test_threads_that_are_set_hold_for_any_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert {executor.machine.threads for executor in executors_of_any_size()} == {threads}
    # So many workers as have cores for their threads.
    assert Local().machine.workers == 8 // threads


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize("value", [None, "", "0", "many", "-1"])
def test_threads_that_are_not_set_are_a_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    executors = executors_of_any_size()
    assert [executor.machine.threads for executor in executors] == [8, 4, 1, 1, 1, 2, 2][
        : len(executors)
    ]


@pytest.mark.usefixtures("eight_cores")
def test_what_an_executor_says_counts_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert Local(workers=2, threads=3).machine.threads == 3
    # Ray gives a trial no more than the cores that it sets aside for it.
    if HAS_RAY:
        assert Ray(cpus=2).machine.threads == 2


def test_the_machine_is_divided_among_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert Local(workers=2 * usable_cores(), devices=()).machine[:2] == (2 * usable_cores(), 1)
    assert Local(devices=()).machine.workers == min(usable_cores(), 8)
    assert Local(devices=("0", "1", "2")).machine.workers == 3
    assert Local(devices=("0",), workers=4).machine.workers == 4
    assert Local(workers=1, threads=5).machine.threads == 5


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "GPU 0: NVIDIA A (UUID: GPU-1a)\nGPU 1: NVIDIA (B) (UUID: GPU-2b)\n",
            ("GPU-1a", "GPU-2b"),
        ),
        (
            "GPU 0: NVIDIA A (UUID: GPU-1a)\n  MIG 1g.5gb     Device  0: (UUID: MIG-x)\n"
            "  MIG 1g.5gb     Device  1: (UUID: MIG-y)\nGPU 1: NVIDIA A (UUID: GPU-2b)\n",
            ("MIG-x", "MIG-y", "GPU-2b"),
        ),
        ("No devices found.\n", ()),
    ],
)
def test_devices_are_read_from_the_list_of_the_driver(text: str, names: tuple[str, ...]) -> None:
    assert listed_devices(text) == names


@pytest.mark.parametrize(
    ("value", "names"),
    [("2,3", ("2", "3")), ("", ()), ("-1", ()), ("1,-1,2", ("1",)), ("GPU-a, 0", ("GPU-a", "0"))],
)
def test_devices_that_are_made_visible(
    monkeypatch: pytest.MonkeyPatch, value: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert cuda_devices() == names


@pytest.mark.gpu
def test_the_devices_of_the_driver_are_those_of_torch() -> None:
    import torch

    assert len(cuda_devices()) == torch.cuda.device_count() > 0
