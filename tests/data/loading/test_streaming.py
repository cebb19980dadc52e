"""Shards that are streamed: each image once in an epoch, whoever reads it, and from any step on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.builders.images import encode, photo
from tests.builders.recipes import tiny_recipe
from tests.builders.runs import assert_same_run
from tests.builders.sources import write_tar
from tests.train.test_fit import SignalAt
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.decoding.in_memory import can_be_decoded_once
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.data.loading.read_ahead import ReadAhead
from trickbag.data.loading.streamed_order import StreamedOrder, part_order, streamed_order
from trickbag.data.source import Part
from trickbag.data.sources import open_source
from trickbag.data.sources.webdataset.part import ShardPart
from trickbag.data.sources.webdataset.storage import Disk
from trickbag.errors import Stopped, UserError
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

SHARDS, IMAGES = 3, 7
"""Three shards of so many images."""


def write_shards(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(SHARDS):
        entries = []
        for i in range(IMAGES):
            data = encode(photo(12, 10, shard * IMAGES + i), "PNG")
            entries += [(f"{i:03}.png", data), (f"{i:03}.cls", str(i % 2).encode())]
        write_tar(folder / f"train-{shard}.tar", entries)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"))


def config(url: object, **more: Any) -> DataConfig:
    return DataConfig(source=f"wds:{url}", image_size=8, streaming=True, **more)


def train_part(url: object) -> Part:
    return open_source(config(url)).parts["train"]


def loader(part: Part, **more: Any) -> Loader:
    data = config("unused")
    values: dict[str, Any] = {"train": True, "batch_size": 4, "seed": 5, "workers": 0}
    return Loader(part, data, Preprocessing.of(data, 8), **(values | more))


def rows(batches: list[RawBatch]) -> list[int]:
    return [row for batch in batches for row in batch.index.tolist()]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    batch_size=st.integers(1, 12),
    lanes=st.integers(1, 5),
    buffer=st.integers(1, 40),
    seed=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_each_image_comes_once_and_groups_lie_together(
    sizes: list[int], batch_size: int, lanes: int, buffer: int, seed: int
) -> None:
    places = np.array([(s, 512 * i) for s, size in enumerate(sizes) for i in range(size)])
    batch_size = min(batch_size, len(places))
    order = streamed_order(
        places, batch_size, np.random.default_rng(seed), lanes=lanes, buffer=buffer
    )
    assert len(order.rows) == len(places) // batch_size * batch_size
    assert len(set(order.rows.tolist())) == len(order.rows)
    # No more images than the buffer's are between the first and the last of a group, in batches.
    for group in np.unique(order.groups):
        members = order.rows[order.groups == group]
        assert len(members) <= max(buffer, batch_size)
        of_shard = {
            shard: sorted(i for s, i in places[members].tolist() if s == shard)
            for shard in set(places[members, 0].tolist())
        }
        for starts in of_shard.values():
            assert all(later - earlier == 512 for earlier, later in pairwise(starts))
    # The rows that a process has of every batch are of its lanes.
    columns = order.groups.reshape(-1, batch_size)
    lane_of = [set(columns[:, i].tolist()) for i in range(batch_size)]
    for left, right in pairwise(lane_of):
        assert left == right or not left & right


def test_an_epoch_mixes_shards_and_differs_from_the_next() -> None:
    places = np.array([(s, 512 * i) for s in range(16) for i in range(64)])
    orders = [
        streamed_order(places, 32, np.random.default_rng(seed), lanes=8, buffer=128)
        for seed in (0, 1)
    ]
    assert not np.array_equal(orders[0].rows, orders[1].rows)
    for order in orders:
        shards_of_batch = [set((b // 64).tolist()) for b in order.rows.reshape(-1, 32)]
        assert min(map(len, shards_of_batch)) >= 7
        # It is not the order of the shards: in a lane images are shuffled.
        assert np.mean(np.diff(order.rows) == 1) < 0.2


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("start_step", [0, 3])
def test_processes_have_the_rows_of_one(shards: Path, ranks: int, start_step: int) -> None:
    part = train_part(shards)
    expected = list(loader(part).epoch(1, start_step))
    epoch = list(loader(part).epoch(1))
    assert rows(expected) == rows(epoch[start_step:])
    shares = [list(loader(part, share=(r, ranks)).epoch(1, start_step)) for r in range(ranks)]
    for step, batch in enumerate(expected):
        assert torch.equal(torch.cat([share[step].index for share in shares]), batch.index)
        assert torch.equal(torch.cat([share[step].images for share in shares]), batch.images)
    assert max(Counter(rows(epoch)).values()) == 1
    assert len(rows(epoch)) == SHARDS * IMAGES // 4 * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "workers"),
    [
        (1, 1),
        (1, 2),
        (3, 2),
        *(pytest.param(r, w, marks=pytest.mark.long) for r, w in ((2, 1), (2, 2), (3, 1))),
    ],
)
def test_workers_change_nothing(shards: Path, ranks: int, workers: int) -> None:
    part = train_part(shards)
    for rank in range(ranks):
        expected = list(loader(part, share=(rank, ranks)).epoch(0))
        with loader(part, share=(rank, ranks), workers=workers) as working:
            batches = list(working.epoch(0))
            assert rows(batches) == rows(expected)
            for batch, other in zip(batches, expected, strict=True):
                assert torch.equal(batch.images, other.images)
            # An epoch that is left in the middle is no obstacle to the next.
            next(iter(working.epoch(1)))
            assert rows(list(working.epoch(0))) == rows(expected)


def test_images_and_their_draws_are_those_of_reading_at_random(shards: Path) -> None:
    streamed = train_part(shards)
    at_random = open_source(DataConfig(source=f"wds:{shards}")).parts["train"]
    crops = {}
    for part in (streamed, at_random):
        for batch in loader(part, batch_size=1).epoch(2):
            crops.setdefault(int(batch.index), []).append(batch.images)
    assert len(crops) == SHARDS * IMAGES
    assert all(torch.equal(*both) for both in crops.values())
    # In evaluation the order is the part's.
    both = [list(loader(part, train=False).epoch(0)) for part in (streamed, at_random)]
    assert all(torch.equal(a.images, b.images) for a, b in zip(*both, strict=True))


def test_a_repeated_image_is_read_for_each_time(shards: Path) -> None:
    batches = list(loader(train_part(shards), repeats=2).epoch(0))
    assert set(Counter(rows(batches)).values()) <= {1, 2}
    assert all(batch.valid.all() for batch in batches)
    assert len(rows(batches)) == 2 * (SHARDS * IMAGES // 4 * 4)


class CountingDisk(Disk):
    """Counts the bytes and the requests of reading."""

    requests: list[tuple[str, int, int]] = []  # noqa: RUF012  (the class is frozen)

    def read(self, stamp: Any, start: int, size: int) -> bytes:
        self.requests.append((stamp.place, start, size))
        return super().read(stamp, start, size)


def test_shards_are_read_in_sequence(shards: Path) -> None:
    part = train_part(shards)
    assert isinstance(part, ShardPart)
    CountingDisk.requests.clear()
    part = replace(part, storage=CountingDisk())
    assert len(rows(list(loader(part, batch_size=7).epoch(0)))) == SHARDS * IMAGES
    # 21 images in 7 lanes: each is read by as many requests as it has shards.
    assert len(CountingDisk.requests) <= 7 + SHARDS
    read = Counter(place for place, _, _ in CountingDisk.requests)
    assert len(read) == SHARDS
    assert sum(size for _, _, size in CountingDisk.requests) < sum(
        path.stat().st_size for path in shards.iterdir()
    )


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_no_more_images_than_the_limit_are_held(shards: Path, limit: int) -> None:
    part = train_part(shards)
    assert isinstance(part, ShardPart)
    order = part_order(len(part), buffer=4)
    with ReadAhead(part, order, lambda: None, limit=limit) as ahead:
        for start in range(0, len(part), 3):
            batch = slice(start, start + 3)
            encoded = ahead.take(order.rows[batch], order.groups[batch])
            assert list(encoded) == [part.encoded(i) for i in order.rows[batch]]
            # A batch that needs two groups has them both.
            assert ahead._held <= max(limit, 8)


def entry_places(part: Part) -> NDArray[np.int64]:
    assert isinstance(part, ShardPart)
    return part.places


def test_damaged_images_and_shards_are_named(tmp_path: Path) -> None:
    folder = write_shards(tmp_path)
    part = train_part(folder)
    places = entry_places(part)
    shard = folder / "train-1.tar"
    content = bytearray(shard.read_bytes())
    start = int(places[IMAGES + 2, 1])
    content[start + 40 : start + 60] = bytes(20)
    stamp = shard.stat()
    shard.write_bytes(content)
    os.utime(shard, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (folder / "train-2.tar").write_bytes(b"other")
    reading = loader(part)
    batches = list(reading.epoch(0))
    assert len(rows(batches)) == SHARDS * IMAGES // 4 * 4
    reasons = reading.errors
    damaged = part.names[IMAGES + 2]
    drawn = set(rows(batches))
    gone = [i for i in range(2 * IMAGES, 3 * IMAGES) if i in drawn]
    for i in gone:
        assert reasons[part.names[i]] == "its shard has changed since it was listed"
    assert set(reasons) == {part.names[i] for i in gone} | (
        {damaged} if IMAGES + 2 in drawn else set()
    )
    valid = sum(int(batch.valid.sum()) for batch in batches)
    assert valid == len(drawn) - len(reasons)


def test_shards_at_an_address(shards: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in shards.iterdir():
        memory.pipe_file(f"/streamed/{path.name}", path.read_bytes())
    near, far = train_part(shards), train_part("memory://streamed")
    expected = list(loader(near).epoch(0))
    for batch, other in zip(loader(far).epoch(0), expected, strict=True):
        assert torch.equal(batch.index, other.index)
        assert torch.equal(batch.images, other.images)


def recipe(shards: Path) -> Recipe:
    value = tiny_recipe(f"wds:{shards}", epochs=2, data__streaming="true")
    return value.set("training.batch_size", "4")


def test_a_run_that_is_stopped_in_an_epoch_goes_on_to_the_same_bits(
    shards: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("stopped", "whole")]
    with pytest.raises(Stopped, match="after step 2 of epoch 1"):
        fit(recipe(shards), 3, folders[0], log=SignalAt(2, signal.SIGTERM))
    for folder in folders:
        result = fit(recipe(shards), 3, folder, resume=True, log=RunLog())
        assert [text for text in result.warnings if "streamed images are not read before" in text]
    assert_same_run(*folders)


def test_streaming_is_a_trial_of_its_own(shards: Path) -> None:
    streamed = recipe(shards)
    at_random = streamed.set("data.streaming", "false")
    assert streamed.id != at_random.id
    assert at_random.id == tiny_recipe(f"wds:{shards}", epochs=2, training__batch_size="4").id
    datasets = [prepare(value.data) for value in (streamed, at_random)]
    assert datasets[0].fingerprint == datasets[1].fingerprint
    # What would be decoded once for all trials of a study would be read at random.
    assert [can_be_decoded_once(dataset) for dataset in datasets] == [False, True]


def test_a_validation_source_that_is_no_shard_is_not_streamed(shards: Path, pictures: Path) -> None:
    source = open_source(config(shards, val_source=f"wds:{shards}"))
    assert [part.is_streamed for part in source.parts.values()] == [True, True]
    with pytest.raises(UserError, match=r"data\.val_source"):
        # Other classes: it is opened without a complaint about streaming.
        open_source(config(shards, val_source=str(pictures)))


def test_the_order_of_a_part_has_groups_of_its_length() -> None:
    order = part_order(5, buffer=2)
    assert order == StreamedOrder(order.rows, order.groups)
    assert (order.rows.tolist(), order.groups.tolist()) == ([0, 1, 2, 3, 4], [0, 0, 1, 1, 2])
