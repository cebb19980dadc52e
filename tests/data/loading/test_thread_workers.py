"""Workers that are threads: the same batches, errors that arrive, and an end within an image."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.builders.images import photo_folder
from tests.builders.recipes import train_arguments
from trickbag.data.config import DataConfig
from trickbag.data.loading import pool, thread_courier
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.pool import LoaderPool
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.worker_kind import MOST_THREADS, worker_kind
from trickbag.data.policies.policies import RandomPolicy
from trickbag.data.source import ArrayPart, FilePart, Part
from trickbag.data.sources import open_source
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trickbag.data.loading.raw_batch import RawBatch

DATA = DataConfig(source="unused", worker_kind="threads")
SIZE = Preprocessing.of(DATA, 8)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> FilePart:
    root = photo_folder(tmp_path_factory.mktemp("threads"), {"a": 7, "b": 6}, suffix=".jpg")
    part = open_source(DataConfig(source=str(root))).parts["train"]
    assert isinstance(part, FilePart)
    return replace(part, verified=True)


def make(part: Part, workers: int, **more: Any) -> Loader:
    options: dict[str, Any] = {"train": True, "batch_size": 4, "seed": 7} | more
    data = options.pop("data", DATA)
    return Loader(part, data, SIZE, workers=workers, **options)


def require_same(first: list[RawBatch], second: list[RawBatch]) -> None:
    assert len(first) == len(second)
    for batch, other in zip(first, second, strict=True):
        for values, expected in zip(batch, other, strict=True):
            assert values.dtype == expected.dtype
            assert torch.equal(values, expected)


def data_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("data-")]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(
    "settings",
    [
        {"repeats": 2},
        {"train": False},
        {"data": replace(DATA, policy=RandomPolicy(count=2), class_power=0.5)},
        {"share": (1, 3)},
        {"data": replace(DATA, augmentation_repeats=2, quarter_turns=True)},
    ],
)
def test_threads_change_nothing(part: FilePart, workers: int, settings: dict[str, Any]) -> None:
    plain = make(part, 0, **settings)
    expected = {epoch: list(plain.epoch(epoch)) for epoch in range(4)}
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    with make(part, workers, **settings) as loader:
        require_same(list(loader.epoch(0)), expected[0])
        require_same(list(loader.epoch(1, 1)), expected[1][1:])  # resumed in the middle
        for _ in loader.epoch(2):
            break  # abandoned while the workers load more batches
        require_same(list(loader.epoch(3)), expected[3])
        # No more than there are batches.
        assert len(data_threads()) == min(workers, len(loader))
    assert data_threads() == []
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_images_that_do_not_decode_are_the_same_for_threads(part: FilePart, tmp_path: Path) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(part.root, root)
    (root / part.names[3]).write_bytes(b"")
    (root / part.names[9]).unlink()
    damaged = replace(part, root=str(root))
    plain = make(damaged, 0)
    expected = [list(plain.epoch(epoch)) for epoch in range(2)]
    with make(damaged, 2) as loader:
        for epoch in range(2):
            require_same(list(loader.epoch(epoch)), expected[epoch])
        assert loader.errors == plain.errors
    assert sorted(plain.errors) == [part.names[3], part.names[9]]


@pytest.mark.parametrize(
    "kind", [None, "threads", pytest.param("processes", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("train", [True, False])
def test_channels_lie_behind_each_other_where_that_is_asked_for(
    part: FilePart, tmp_path: Path, kind: Any, train: bool
) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(part.root, root)
    (root / part.names[3]).write_bytes(b"")
    damaged = replace(part, root=str(root))
    expected = list(make(damaged, 0, train=train).epoch(0))
    options: dict[str, Any] = {"data": replace(DATA, worker_kind=kind), "train": train}
    with make(damaged, 2 if kind else 0, channels_last=True, **options) as loader:
        batches = list(loader.epoch(0))
        assert list(loader.errors) == [part.names[3]]
    require_same(batches, expected)
    for batch, plain in zip(batches, expected, strict=True):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert plain.images.is_contiguous()
    # The image that does not decode has zeros.
    assert sum(int((batch.images.flatten(1).amax(dim=1) == 0).sum()) for batch in batches) == 1


def test_several_views_of_an_image_lie_one_behind_the_other(part: FilePart) -> None:
    data = replace(DATA, policy=RandomPolicy(count=2), views=2)
    expected = list(make(part, 0, data=data).epoch(0))
    batches = list(make(part, 0, data=data, channels_last=True).epoch(0))
    require_same(batches, expected)
    assert batches[0].images.shape == (4, 3, 3, 8, 8)


class Source:
    """Answers a request that is called with the sign of life, else with its number."""

    def load(
        self, request: Any, alive: Callable[[], None]
    ) -> tuple[list[torch.Tensor], list[object]]:
        if callable(request):
            request(alive)
        return [torch.zeros(2)], [request]


def quiet() -> None:
    pass


def fail(error: BaseException) -> Callable[[object], None]:
    def raised(_: object) -> None:
        raise error

    return raised


@pytest.mark.parametrize(
    ("error", "expected", "says"),
    [
        (ValueError("wrong"), ValueError, "wrong"),
        (MemoryError("too much"), RunFailed, "the memory ran out .*too much.*data.workers"),
        (RunFailed("no more files"), RunFailed, "no more files"),
        (SystemExit(3), RuntimeError, "SystemExit"),
    ],
)
def test_what_fails_in_a_thread_arrives_with_its_batch(
    error: BaseException, expected: type[Exception], says: str
) -> None:
    workers = LoaderPool(Source(), 2, kind="threads")
    try:
        batches = workers.batches(iter([0, 1, fail(error), 3]), quiet)
        assert [next(batches)[1] for _ in range(2)] == [[0], [1]]
        with pytest.raises(expected, match=says):
            next(batches)
    finally:
        workers.close()
    assert data_threads() == []


def test_a_batch_that_is_loaded_ends_with_its_loader() -> None:
    begun = threading.Event()

    def endless(alive: Callable[[], None]) -> None:
        begun.set()
        while True:
            alive()

    workers = LoaderPool(Source(), 1, kind="threads")

    def stop() -> None:
        raise KeyboardInterrupt

    batches = workers.batches(iter([endless, 1]), lambda: begun.is_set() and stop())
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    workers.close()
    assert data_threads() == []


def test_a_pool_that_nothing_refers_to_leaves_no_thread() -> None:
    workers = LoaderPool(Source(), 2, kind="threads")
    next(workers.batches(iter([1]), quiet))
    assert len(data_threads()) == 2
    del workers
    gc.collect()
    assert data_threads() == []


def test_silent_threads_end_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POLL_S", 0.01)
    monkeypatch.setattr(pool, "SILENCE_S", 0.05)
    monkeypatch.setattr(thread_courier, "END_S", 0.01)
    answered = threading.Event()
    workers = LoaderPool(Source(), 1, kind="threads")
    try:
        # As a network disk that is gone; the end of the pool leaves the thread behind.
        with pytest.raises(RunFailed, match="no image"):
            next(workers.batches(iter([lambda _: answered.wait()]), quiet))
        workers.close()
        assert len(data_threads()) == 1
    finally:
        answered.set()
    for thread in data_threads():
        thread.join()


class Unannotated:
    """A part that is none of this package's classes."""

    names = ("a",)


def test_the_kind_of_workers_follows_from_the_data(part: FilePart) -> None:
    arrays = ArrayPart.of(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) % 2, "x")
    open_kind = replace(DATA, worker_kind=None)
    policy = replace(open_kind, policy=RandomPolicy())
    bands = replace(part.pixels, channels=(0, 1, 2, 3, 4))
    table: list[tuple[Any, DataConfig, int, bool, str]] = [
        (part, open_kind, 1, True, "threads"),
        (part, open_kind, MOST_THREADS, True, "threads"),
        (part, open_kind, MOST_THREADS + 1, True, "processes"),
        (part, open_kind, 0, True, "processes"),
        (arrays, open_kind, 1, True, "threads"),
        # A file that no one has decoded yet can end the process that does.
        (replace(part, verified=False), open_kind, 1, True, "processes"),
        (part, policy, 1, True, "processes"),
        (part, policy, 1, False, "threads"),
        (replace(part, pixels=bands), open_kind, 1, True, "processes"),
        (replace(part, names=(*part.names[1:], "x.JP2")), open_kind, 1, True, "processes"),
        (Unannotated(), open_kind, 1, True, "processes"),
    ]
    for images, data, workers, train, expected in table:
        assert worker_kind(images, data, workers, train=train) == expected
    assert make(part, 1, data=open_kind).worker_kind == "threads"
    assert make(part, 1, data=replace(DATA, worker_kind="processes")).worker_kind == "processes"
    assert make(replace(part, verified=False), 1).worker_kind == "threads"


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_in_pinned_memory(part: FilePart, workers: int) -> None:
    with make(part, workers, pin_memory=True) as loader:
        batches = list(loader.epoch(0))
    assert all(tensor.is_pinned() for batch in batches for tensor in batch if tensor.numel())
    require_same(batches, list(make(part, 0).epoch(0)))


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_with_its_threads_and_goes_on(tmp_path: Path) -> None:
    source, out = photo_folder(tmp_path / "set", {"a": 16, "b": 16}), tmp_path / "run"
    kind = ("--set", "data.workers=2", "--set", "data.worker_kind=threads")
    command = [sys.executable, "-m", "trickbag"]
    arguments = [*train_arguments(source, out, epochs=6), *kind]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL) as process:
        metrics = out / "metrics.jsonl"
        while not metrics.exists() or not metrics.stat().st_size:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 75
    subprocess.run([*command, *arguments, "--resume"], check=True, capture_output=True, timeout=300)
    alone = [*train_arguments(source, tmp_path / "alone", epochs=6), "--set", "data.workers=0"]
    subprocess.run([*command, *alone], check=True, capture_output=True, timeout=300)
    name = "best.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
