"""Waiting for workers: each failure arrives, and each wait has an end."""

from __future__ import annotations

import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.images import photo_folder
from tests.builders.recipes import train_arguments
from trickbag.data.config import WorkerKind
from trickbag.data.loading import pool
from trickbag.data.loading.pool import LoaderPool
from trickbag.data.loading.worker import out_of_memory
from trickbag.errors import RunFailed

PROCESSES = ("--set", "data.workers=2", "--set", "data.worker_kind=processes")


class Numbers:
    """A source of one number for each request; a request that is an exception is raised."""

    def load(self, request: Any, alive: Any) -> tuple[list[torch.Tensor], Any]:
        alive()
        if isinstance(request, Exception):
            raise request
        return [torch.full((2, 3), request), torch.empty(0, 3), torch.ones(1) > 0], {"n": request}


class SilentCourier(threading.Thread):
    """A courier that takes no request."""

    def __init__(self, *_: object) -> None:
        super().__init__()
        self.signs, self.failure = 0, None

    def end(self) -> None:
        pass


def quiet() -> None:
    pass


@pytest.fixture
def silent_pool(monkeypatch: pytest.MonkeyPatch) -> LoaderPool:
    monkeypatch.setattr(pool, "ProcessCourier", SilentCourier)
    monkeypatch.setattr(pool, "POLL_S", 0.01)
    monkeypatch.setattr(pool, "SILENCE_S", 0.05)
    return LoaderPool(Numbers(), 2, kind="processes")


def test_silent_workers_end_the_wait(silent_pool: LoaderPool) -> None:
    with pytest.raises(RunFailed, match=r"no image for 0 s; .*data\.workers=0"):
        next(silent_pool.batches(iter([1]), quiet))


def test_a_sign_of_life_prolongs_the_wait(silent_pool: LoaderPool) -> None:
    calls = 0

    def waiting() -> None:
        nonlocal calls
        calls += 1
        if calls < 20:
            silent_pool._couriers[0].signs += 1

    with pytest.raises(RunFailed, match="no image"):
        next(silent_pool.batches(iter([1]), waiting))
    assert calls >= 24


def test_what_is_raised_while_waiting_ends_the_wait(silent_pool: LoaderPool) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(silent_pool.batches(iter([1]), stop))


def test_a_worker_that_failed_between_requests_ends_the_wait(silent_pool: LoaderPool) -> None:
    silent_pool._couriers[1].failure = RunFailed("gone")
    with pytest.raises(RunFailed, match="gone"):
        next(silent_pool.batches(iter([1]), quiet))


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("no thread")])
@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_workers_that_cannot_start(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: WorkerKind
) -> None:
    class Unstartable(SilentCourier):
        def start(self) -> None:
            raise error

    name = {"processes": "ProcessCourier", "threads": "ThreadCourier"}[kind]
    monkeypatch.setattr(pool, name, Unstartable)
    with pytest.raises(RunFailed, match=r"cannot start .*(open files|thread).*data\.workers"):
        LoaderPool(Numbers(), 2, kind=kind)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("12 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(24, "Too many open files"), False),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_which_errors_mean_that_memory_ran_out(error: Exception, expected: bool) -> None:
    failure = out_of_memory(error)
    assert (failure is not None) == expected
    if failure is not None:
        assert "data.workers" in str(failure)


@pytest.mark.parametrize("kind", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_what_workers_give(kind: WorkerKind) -> None:
    requests: list[Any] = [
        *range(20),
        ValueError("20"),
        21,
        MemoryError("too much"),
        RunFailed("x"),
    ]
    workers = LoaderPool(Numbers(), 2, kind=kind)
    try:
        batches = workers.batches(iter(requests), quiet)
        for i in range(20):
            (number, empty, flag), rest = next(batches)
            assert torch.equal(number, torch.full((2, 3), i))
            assert empty.shape == (0, 3)
            assert flag.dtype == torch.bool
            assert flag.item()
            assert rest == {"n": i}
        with pytest.raises(ValueError, match="20") as raised:
            next(batches)
        if kind == "processes":
            assert any("In a data worker process" in note for note in raised.value.__notes__)
        # An error ends an epoch, not the workers.
        with pytest.raises(RunFailed, match=r"the memory ran out .*too much"):
            next(workers.batches(iter(requests[22:]), quiet))
        with pytest.raises(RunFailed, match=r"^x$"):
            next(workers.batches(iter(requests[23:]), quiet))
        assert next(workers.batches(iter([5]), quiet))[1] == {"n": 5}
    finally:
        workers.close()


class Unreadable:
    """A source that no worker can make again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("/nowhere/at/all",))


@pytest.mark.slow
def test_a_source_that_a_worker_cannot_read() -> None:
    with pytest.raises(OSError, match="No such file"):
        pickle.loads(pickle.dumps(Unreadable()))
    workers = LoaderPool(Unreadable(), 1, kind="processes")  # type: ignore[arg-type]
    try:
        with pytest.raises(OSError, match="No such file"):
            next(workers.batches(iter([1]), quiet))
    finally:
        workers.close()


def train(
    source: Path, out: Path, *before: str, files: int = 0
) -> subprocess.CompletedProcess[str]:
    def few_files() -> None:
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    arguments = [*train_arguments(source, out, epochs=1), *PROCESSES]
    return subprocess.run(
        [*before, sys.executable, "-m", "trickbag", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=few_files,
    )


@pytest.mark.slow
@pytest.mark.parametrize("files", [14, 16, 20])
def test_few_open_files(tmp_path: Path, files: int) -> None:
    source = photo_folder(tmp_path / "set", {"a": 16, "b": 16})
    result = train(source, tmp_path / "run", files=files)
    assert "Traceback" not in result.stderr
    if files == 20 and result.returncode == 0:
        return  # it can be enough
    last = result.stderr.splitlines()[-1]
    assert (result.returncode, last.count("data.workers")) == (1, 1), result.stderr
    assert "Too many open files" in last


@pytest.mark.slow
@pytest.mark.parametrize("options", ["size=4k", "ro"])
def test_shared_memory_is_not_needed(tmp_path: Path, options: str) -> None:
    mount = f"mount -t tmpfs -o {options} tmpfs /dev/shm"
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"', "-"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine permits no mount namespaces")
    source = photo_folder(tmp_path / "set", {"a": 16, "b": 16})
    result = train(source, tmp_path / "run", *namespace)
    assert result.returncode == 0, result.stderr
