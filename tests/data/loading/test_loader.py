"""Batches of a loader: what is in them, in which order, and what changes nothing about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.builders.crops import crop_resize
from tests.builders.images import encode, photo, photo_folder
from trickbag.data.config import DataConfig, Interpolation
from trickbag.data.decoding import region
from trickbag.data.loading import loader as module
from trickbag.data.loading.crops import as_picture, planes, random_crop_box
from trickbag.data.loading.loader import Loader, default_workers
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.data.policies.policies import MixedPolicy, RandomPolicy
from trickbag.data.source import ArrayPart, FilePart, Part
from trickbag.data.sources import open_source
from trickbag.streams import stream

if TYPE_CHECKING:
    from pathlib import Path

DATA = DataConfig(source="unused")
SIZE = Preprocessing.of(DATA, 8)


def make(
    part: Part, *, train: bool = True, batch_size: int = 4, workers: int = 0, **more: object
) -> Loader:
    return Loader(
        part, DATA, SIZE, train=train, batch_size=batch_size, seed=7, workers=workers, **more
    )  # type: ignore[arg-type]


def same(first: list[RawBatch], second: list[RawBatch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) and a.dtype == b.dtype
        for batch, other in zip(first, second, strict=True)
        for a, b in zip(batch, other, strict=True)
    )


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> FilePart:
    root = photo_folder(tmp_path_factory.mktemp("loader"), {"a": 7, "b": 6})
    part = open_source(DataConfig(source=str(root))).parts["train"]
    assert isinstance(part, FilePart)
    return part


@pytest.fixture
def arrays() -> ArrayPart:
    images = np.stack([photo(20, 20, seed) for seed in range(10)])
    return ArrayPart.of(images, np.arange(10, dtype=np.int64) % 3, "x")


def test_a_training_batch_by_hand(part: FilePart) -> None:
    loader = make(part)
    batches = list(loader.epoch(3))
    order = stream(7, "order", 3).permutation(13)
    assert len(loader) == len(batches) == 3  # the 13th image is dropped
    for step, batch in enumerate(batches):
        rows = order[4 * step : 4 * step + 4]
        np.testing.assert_array_equal(batch.index.numpy(), rows)
        np.testing.assert_array_equal(batch.labels.numpy(), part.labels[rows])
        assert batch.valid.all()
        for row, image in zip(rows.tolist(), batch.images.numpy(), strict=True):
            pixels = part.read(row)
            height, width, _ = pixels.shape
            box = random_crop_box(
                stream(7, "crop", 3, row), width, height, DATA.crop_area, DATA.crop_ratio
            )
            np.testing.assert_array_equal(image, crop_resize(pixels, box, 8))
    batch = batches[0]
    assert [x.dtype for x in batch] == [
        torch.uint8,
        torch.int64,
        torch.int64,
        torch.bool,
        torch.float32,
        torch.int64,
    ]
    assert batch.teacher_logits.shape == (4, 0, 0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_have_the_interpolation_of_the_data(
    part: FilePart, interpolation: Interpolation
) -> None:
    data = replace(DATA, interpolation=interpolation)
    # The data of an epoch may have another size, as with progressive resizing.
    for size, of_epoch in ((8, None), (12, replace(data, image_size=12))):
        loader = Loader(part, data, SIZE, train=True, batch_size=1, seed=7, workers=0)
        batch = next(iter(loader.epoch(0, data=of_epoch)))
        row = int(batch.index[0])
        pixels = part.read(row)
        height, width, _ = pixels.shape
        rng = stream(7, "crop", 0, row)
        box = random_crop_box(rng, width, height, DATA.crop_area, DATA.crop_ratio)
        expected = crop_resize(pixels, box, size, interpolation)
        np.testing.assert_array_equal(batch.images[0].numpy(), expected)
        other = crop_resize(
            pixels, box, size, "bicubic" if interpolation == "bilinear" else "bilinear"
        )
        assert (expected != other).any()


def test_repeats_add_blocks_with_orders_and_crops_of_their_own(part: FilePart) -> None:
    single, double = list(make(part).epoch(3)), list(make(part, repeats=2).epoch(3))
    assert len(double) == len(single) == 3
    for batch, both in zip(single, double, strict=True):
        # The first block is the batch without repeats.
        assert same([batch], [RawBatch(*(tensor[:4] for tensor in both))])
    order = stream(7, "order", 3, 1).permutation(13)
    np.testing.assert_array_equal(
        torch.cat([both.index[4:] for both in double]).numpy(), order[:12]
    )
    row = int(order[0])
    pixels = part.read(row)
    height, width, _ = pixels.shape
    box = random_crop_box(
        stream(7, "crop 1", 3, row), width, height, DATA.crop_area, DATA.crop_ratio
    )
    np.testing.assert_array_equal(double[0].images[4].numpy(), crop_resize(pixels, box, 8))
    assert same(list(make(part, repeats=2).epoch(3, 1)), double[1:])


POLICY = RandomPolicy(count=3)
WITH_POLICY = {
    "policy": replace(DATA, policy=POLICY),
    "views": replace(DATA, policy=MixedPolicy(), views=2),
}


def with_policy(part: Part, kind: str, *, train: bool = True, workers: int = 0) -> Loader:
    return Loader(part, WITH_POLICY[kind], SIZE, train=train, batch_size=4, seed=7, workers=workers)


def test_a_policy_changes_the_crop_that_is_there_without_it(part: FilePart) -> None:
    plain = list(make(part).epoch(3))
    batches = list(with_policy(part, "policy").epoch(3))
    for with_it, without in zip(batches, plain, strict=True):
        assert same([with_it._replace(images=without.images)], [without])
        for row, image in zip(with_it.index.tolist(), with_it.images.numpy(), strict=True):
            pixels = part.read(row)
            height, width, _ = pixels.shape
            box = random_crop_box(
                stream(7, "crop", 3, row), width, height, DATA.crop_area, DATA.crop_ratio
            )
            expected = POLICY(as_picture(crop_resize(pixels, box, 8)), stream(7, "policy", 3, row))
            np.testing.assert_array_equal(image, planes(expected))
    assert not same(batches, plain)
    assert not same(batches, list(with_policy(part, "policy").epoch(4)))


def test_a_policy_draws_anew_for_each_occurrence_of_an_image(arrays: ArrayPart) -> None:
    # The full image twice, so that the crops are alike.
    data = replace(WITH_POLICY["policy"], crop_area=(1, 1), crop_ratio=(1, 1))
    (batch,) = Loader(
        arrays, data, SIZE, train=True, batch_size=10, seed=7, workers=0, repeats=2
    ).epoch(0)
    first, second = (
        images[index.argsort()]
        for images, index in zip(batch.images.split(10), batch.index.split(10), strict=True)
    )
    assert (first != second).flatten(1).any(1).sum() > 5


def test_views_come_beside_the_crop(part: FilePart) -> None:
    plain, batches = list(make(part).epoch(0)), list(with_policy(part, "views").epoch(0))
    for with_it, without in zip(batches, plain, strict=True):
        assert with_it.images.shape == (4, 3, 3, 8, 8)
        assert torch.equal(with_it.images[:, 0], without.images)
        for view, other in ((0, 1), (0, 2), (1, 2)):
            assert not torch.equal(with_it.images[:, view], with_it.images[:, other])


@pytest.mark.parametrize("kind", WITH_POLICY)
def test_a_policy_is_not_for_evaluation(part: FilePart, kind: str) -> None:
    assert same(
        list(make(part, train=False).epoch(0)), list(with_policy(part, kind, train=False).epoch(0))
    )


def test_a_worker_changes_nothing_about_a_policy(part: FilePart) -> None:
    with with_policy(part, "views", workers=1) as loader:
        assert same(list(loader.epoch(1, 1)), list(with_policy(part, "views").epoch(1))[1:])


def test_evaluation_is_in_order_with_a_partial_last_batch(part: FilePart) -> None:
    loader = make(part, train=False)
    batches = list(loader.epoch(0))
    assert len(loader) == 4
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(13))
    assert len(batches[-1].labels) == 1
    for row in (0, 12):
        np.testing.assert_array_equal(
            batches[row // 4].images[row % 4].numpy(), SIZE.crop(part.read(row))
        )
    assert same(batches, list(loader.epoch(5)))


def test_every_epoch_has_its_own_order_and_crops(part: FilePart) -> None:
    loader = make(part, batch_size=13)
    (first,), (second,) = loader.epoch(0), loader.epoch(1)
    assert first.index.tolist() != second.index.tolist()
    by_row = [batch.images[batch.index.argsort()] for batch in (first, second)]
    assert not torch.equal(*by_row)


def test_the_seed_matters(part: FilePart) -> None:
    other = Loader(part, DATA, SIZE, train=True, batch_size=4, seed=8, workers=0)
    assert not same(list(make(part).epoch(0)), list(other.epoch(0)))


def test_fewer_images_than_the_batch_are_one_batch(part: FilePart) -> None:
    loader = make(part, batch_size=100)
    (batch,) = loader.epoch(0)
    assert len(loader) == 1
    assert sorted(batch.index.tolist()) == list(range(13))


@pytest.mark.parametrize("train", [True, False])
def test_a_later_start_step_gives_the_rest(part: FilePart, train: bool) -> None:
    every = list(make(part, train=train).epoch(2))
    for start in range(len(every) + 1):
        assert same(list(make(part, train=train).epoch(2, start)), every[start:])


@pytest.mark.slow
def test_workers_change_nothing(part: FilePart) -> None:
    expected = {epoch: list(make(part).epoch(epoch)) for epoch in range(4)}
    state = torch.get_rng_state()
    for workers in (1, 2):
        with make(part, workers=workers) as loader:
            assert same(list(loader.epoch(0)), expected[0])
            assert same(list(loader.epoch(1, 1)), expected[1][1:])  # resumed in the middle
            for _ in loader.epoch(2):
                break  # abandoned while the workers load more batches
            assert same(list(loader.epoch(3)), expected[3])
    # Nor do they draw from the process's generator.
    assert torch.equal(torch.get_rng_state(), state)


def test_images_that_do_not_decode_have_no_weight(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path, {"a": 5, "b": 5})
    (tree / "a" / "001.png").write_bytes(b"")
    (tree / "b" / "002.png").unlink()
    names = [f"{kind}/{i:03}.png" for kind in "ab" for i in range(5)]
    part = FilePart.listed(tree, [(name, -1, int(name[0] == "b")) for name in names])
    for workers in (0, 1):
        with make(part, train=False, workers=workers) as loader:
            batches = list(loader.epoch(0))
            valid = torch.cat([batch.valid for batch in batches])
            images = torch.cat([batch.images for batch in batches])
            assert valid.tolist() == [i not in (1, 7) for i in range(10)]
            assert (images.flatten(1).amax(1) > 0).tolist() == valid.tolist()
            assert torch.cat([batch.labels for batch in batches]).tolist() == [0] * 5 + [1] * 5
            assert loader.errors == {
                "a/001.png": "empty file",
                "b/002.png": "cannot be read: No such file or directory",
            }


def test_a_bad_image_stays_out_for_the_rest_of_the_run(tmp_path: Path) -> None:
    tree = photo_folder(tmp_path, {"a": 2, "b": 2})
    good = (tree / "a" / "000.png").read_bytes()
    part = open_source(DataConfig(source=str(tree))).parts["train"]
    (tree / "a" / "000.png").write_bytes(b"")
    loader = make(part)
    (first,) = loader.epoch(0)
    (tree / "a" / "000.png").write_bytes(good)
    (second,) = loader.epoch(1)
    for batch in (first, second):
        assert batch.index[~batch.valid].tolist() == [0]
        assert batch.images[~batch.valid].max() == 0
    assert loader.errors == {"a/000.png": "empty file"}


def test_an_image_is_decoded_as_a_whole_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [("a.jpg", 0), ("b.jpg", 1), ("c.jpg", 0), ("d.jpg", 1)]
    for seed, (name, _) in enumerate(pairs):
        (tmp_path / name).write_bytes(encode(photo(120, 90, seed), "JPEG", quality=90))
    torn = (tmp_path / "c.jpg").read_bytes()
    (tmp_path / "c.jpg").write_bytes(torn[: len(torn) // 2])
    # As the parts of a source of too many files to be checked before the first epoch.
    part = FilePart.listed(tmp_path, [(name, -1, label) for name, label in pairs])
    checked = make(replace(part, verified=True), batch_size=2)
    expected = [list(checked.epoch(epoch)) for epoch in range(3)]
    lengths: list[int] = []
    original = region.decode

    def counted(data: bytes, *arguments: Any, **options: Any) -> np.ndarray:
        lengths.append(len(data))
        return original(data, *arguments, **options)

    monkeypatch.setattr(region, "decode", counted)
    loader = make(part, batch_size=2)
    assert same(list(loader.epoch(0)), expected[0])
    sizes = [(tmp_path / name).stat().st_size for name, _ in pairs]
    assert sorted(lengths) == sorted(sizes)
    assert list(loader.errors) == ["c.jpg"]
    assert same(list(loader.epoch(1)), expected[1])
    assert same(list(loader.epoch(2)), expected[2])
    assert len(lengths) == len(pairs)


def test_crops_for_evaluation_are_kept(part: FilePart, arrays: ArrayPart) -> None:
    for images in (part, arrays):
        loader = make(images, train=False, cached=True)
        first = list(loader.epoch(0))
        again = list(loader.epoch(1))
        assert all(a is b for a, b in zip(first, again, strict=True))
        assert same(list(loader.epoch(0, 2)), first[2:])
        assert same(first, list(make(images, train=False).epoch(0)))


def test_an_evaluation_that_was_not_complete_is_not_kept(part: FilePart) -> None:
    loader = make(part, train=False, cached=True)
    for _ in loader.epoch(0):
        break
    list(loader.epoch(0, 2))
    assert len(list(loader.epoch(0))) == 4


def test_neither_training_nor_large_sets_are_kept(
    part: FilePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = make(part, cached=True)
    assert not same(list(loader.epoch(0)), list(loader.epoch(1)))
    monkeypatch.setattr(module, "CACHE_LIMIT", 13 * 3 * 8 * 8 - 1)
    loader = make(part, train=False, cached=True)
    first, again = list(loader.epoch(0)), list(loader.epoch(1))
    assert not any(a is b for a, b in zip(first, again, strict=True))


def test_default_workers(
    part: FilePart, arrays: ArrayPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores, cpu, cuda in ((1, 0, 0), (2, 1, 2), (64, 1, 16)):
        monkeypatch.setattr(module, "usable_cores", lambda n=cores: n)
        assert default_workers(part, "cpu") == cpu
        assert default_workers(part, "cuda") == cuda
        assert default_workers(arrays, "cuda") == 0


def test_an_empty_part_has_no_batches(part: FilePart) -> None:
    for train in (True, False):
        assert list(make(part.subset([]), train=train).epoch(0)) == []
