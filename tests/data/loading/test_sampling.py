"""Class-balanced orders: shares, occurrences, and the loader that follows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.crops import crop_resize
from tests.builders.images import photo
from trickbag.data.config import DataConfig
from trickbag.data.loading.crops import random_crop_box
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.sampling import (
    balanced_order,
    earlier_occurrences,
    repeated_order,
)
from trickbag.data.source import ArrayPart
from trickbag.errors import DoesNotApply, UserError
from trickbag.streams import stream
from trickbag.tricks.balanced_sampling import BalancedSampling
from trickbag.tricks.repeated_augmentation import RepeatedAugmentation
from trickbag.tricks.trick import NoEffect

LABELS = np.repeat(np.array([0, 1, 3], np.int64), [90, 9, 1])  # no image of class 2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0, 1), st.integers(0, 9))
def test_every_class_has_its_share_and_its_images_come_equally_often(
    labels: list[int], power: float, seed: int
) -> None:
    given_labels = np.array(labels, np.int64)
    order = balanced_order(given_labels, power, np.random.default_rng(seed))
    assert len(order) == len(labels)
    counts = np.bincount(given_labels)
    shares = np.where(counts > 0, counts.astype(float) ** power, 0)
    shares = len(labels) * shares / shares.sum()
    drawn = np.bincount(given_labels[order], minlength=len(counts))
    assert (np.abs(drawn - shares) < 1 + 1e-9).all()
    for label in np.flatnonzero(drawn):
        times = np.bincount(order, minlength=len(labels))[given_labels == label]
        assert times.max() - times.min() <= 1


def test_power_1_is_a_permutation_and_0_is_equal_shares() -> None:
    assert sorted(balanced_order(LABELS, 1.0, np.random.default_rng(0)).tolist()) == list(
        range(100)
    )
    counts = [
        np.bincount(LABELS[balanced_order(LABELS, 0.0, np.random.default_rng(i))])
        for i in range(600)
    ]
    assert {tuple(drawn[[0, 1, 3]].tolist()) for drawn in counts} == {
        (33, 33, 34),
        (33, 34, 33),
        (34, 33, 33),
    }
    np.testing.assert_allclose(np.mean(counts, axis=0)[[0, 1, 3]], 100 / 3, atol=0.1)


def test_the_square_root_by_hand() -> None:
    roots = np.sqrt([90, 9, 1])
    drawn = np.bincount(LABELS[balanced_order(LABELS, 0.5, np.random.default_rng(3))])[[0, 1, 3]]
    assert (np.abs(drawn - 100 * roots / roots.sum()) < 1).all()


def test_occurrences_before_each_place() -> None:
    order = np.array([4, 2, 4, 4, 0, 2])
    assert earlier_occurrences(order).tolist() == [0, 0, 1, 2, 0, 1]
    assert earlier_occurrences(np.array([], np.int64)).tolist() == []


def test_multi_label_images_have_no_class_to_balance() -> None:
    with pytest.raises(
        UserError, match=r"data.class_power = 0.5: the images have several labels each"
    ):
        balanced_order(np.zeros((3, 2), np.int64), 0.5, np.random.default_rng(0))


def test_the_trick_sets_the_power() -> None:
    data = BalancedSampling(power=0.5).data(DataConfig())
    assert data.class_power == 0.5
    with pytest.raises(NoEffect, match=r"data.class_power is already 0.5"):
        BalancedSampling(power=0.5).data(data)


def skewed() -> tuple[ArrayPart, DataConfig]:
    images = np.stack([photo(20, 20, seed) for seed in range(12)])
    part = ArrayPart.of(images, np.array([0] * 11 + [1], np.int64), "x")
    return part, DataConfig(source="unused", class_power=0.0)


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_loader_crops_an_image_anew_each_time(repeats: int) -> None:
    part, data = skewed()
    loader = Loader(
        part,
        data,
        Preprocessing.of(data, 8),
        train=True,
        batch_size=4,
        seed=7,
        workers=0,
        repeats=repeats,
    )
    batches = list(loader.epoch(2))
    assert len(batches) == 3
    index, images = torch.cat([b.index for b in batches]), torch.cat([b.images for b in batches])
    assert int((index == 11).sum()) == 6 * repeats
    # Each occurrence of the only image of its class has a crop of its own: those of 0, 1, 2, ...
    pixels, expected = part.read(11), []
    for occurrence in range(6 * repeats):
        rng = stream(7, f"crop {occurrence}" if occurrence else "crop", 2, 11)
        expected.append(
            crop_resize(pixels, random_crop_box(rng, 20, 20, data.crop_area, data.crop_ratio), 8)
        )
    seen = {image.numpy().tobytes() for image in images[index == 11]}
    assert seen == {image.tobytes() for image in expected}
    assert len(seen) == 6 * repeats


def test_an_epoch_is_resumed_in_its_middle() -> None:
    part, data = skewed()
    size = Preprocessing.of(data, 8)
    batches, rest = (
        list(Loader(part, data, size, train=True, batch_size=4, seed=7, workers=0).epoch(1, start))
        for start in (0, 1)
    )
    assert all(
        torch.equal(a, b)
        for x, y in zip(batches[1:], rest, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_an_epoch_of_another_size_and_crop() -> None:
    part, _ = skewed()
    plain = DataConfig(source="unused")
    loader = Loader(
        part, plain, Preprocessing.of(plain, 16), train=True, batch_size=4, seed=7, workers=0
    )
    small = DataConfig(source="unused", image_size=8, crop_area=(0.9, 1.0))
    (batch, *_), (later, *_) = loader.epoch(0, data=small), loader.epoch(0)
    assert batch.images.shape == (4, 3, 8, 8)
    assert later.images.shape == (4, 3, 16, 16)
    assert torch.equal(batch.index, later.index)
    row = int(batch.index[0])
    box = random_crop_box(stream(7, "crop", 0, row), 20, 20, small.crop_area, small.crop_ratio)
    np.testing.assert_array_equal(batch.images[0].numpy(), crop_resize(part.read(row), box, 8))


@given(st.integers(1, 60), st.integers(2, 7), st.integers(1, 20))
def test_an_epoch_repeats_its_first_images(n: int, repeats: int, batch_size: int) -> None:
    order = np.random.default_rng(n).permutation(n)
    repeated = repeated_order(order, repeats, batch_size)
    # As many samples as before, of the first images of the order, each so many times.
    expected = np.repeat(order, repeats)[:n]
    assert sorted(repeated.tolist()) == sorted(expected.tolist())
    # Each batch has those that stand in its place, its copies as far apart as it allows.
    for start in range(0, n, batch_size):
        batch = repeated[start : start + batch_size]
        assert sorted(batch.tolist()) == sorted(expected[start : start + batch_size].tolist())
    if batch_size % repeats == 0:
        blocks = repeated[: n // batch_size * batch_size].reshape(
            -1, repeats, batch_size // repeats
        )
        assert (blocks == blocks[:, :1]).all()


def test_an_epoch_has_the_images_that_timms_sampler_has() -> None:
    from timm.data.distributed_sampler import RepeatAugSampler

    images = list(range(4 * 256))
    epochs = []
    for rank in range(4):
        sampler = RepeatAugSampler(images, num_replicas=4, rank=rank, num_repeats=3)
        sampler.set_epoch(5)
        epochs.append(list(sampler))
    generator = torch.Generator()
    generator.manual_seed(5)
    order = torch.randperm(len(images), generator=generator).numpy()
    ours = repeated_order(order, 3, 64)
    # timm's ranks each take every fourth sample: the batch of all has these.
    timms = np.stack([np.array(epoch) for epoch in epochs], axis=1).reshape(-1)
    assert len(ours) == len(timms) == len(images)
    for start in range(0, len(images), 64):
        batch = slice(start, start + 64)
        assert sorted(ours[batch].tolist()) == sorted(timms[batch].tolist())
    assert len(set(ours.tolist())) == -(-len(images) // 3)


REPEATED = DataConfig(source="unused", augmentation_repeats=3)


def repeated_loader(data: DataConfig = REPEATED, **options: Any) -> Loader:
    images = np.stack([photo(20, 20, seed) for seed in range(24)])
    part = ArrayPart.of(images, np.array([0] * 20 + [1] * 4, np.int64), "x")
    settings = {"batch_size": 12, "seed": 7, "workers": 0, **options}
    return Loader(part, data, Preprocessing.of(data, 8), train=True, **settings)


def test_a_batch_has_three_crops_of_each_image() -> None:
    batches = list(repeated_loader().epoch(1))
    assert [len(batch.index) for batch in batches] == [12, 12]
    for batch in batches:
        copies = batch.index.reshape(3, 4)
        assert (copies == copies[:1]).all()
        assert len(set(copies[0].tolist())) == 4
        assert len({image.numpy().tobytes() for image in batch.images}) == 12
    assert not set(batches[0].index.tolist()) & set(batches[1].index.tolist())
    # The images are the first of the epoch's order without repeats, other ones in another epoch.
    plain = torch.cat([b.index for b in repeated_loader(DataConfig(source="unused")).epoch(1)])
    assert {*plain[:8].tolist()} == {int(i) for batch in batches for i in batch.index}
    other = torch.cat([batch.index for batch in repeated_loader().epoch(2)])
    assert {*other.tolist()} != {*plain[:8].tolist()}


def test_neither_processes_nor_workers_nor_a_resume_change_repeated_images() -> None:
    first, second = repeated_loader().epoch(1)
    (resumed,) = repeated_loader().epoch(1, 1)
    with repeated_loader(workers=2) as loader:
        (_, by_workers) = loader.epoch(1)
    halves = [list(repeated_loader(share=(rank, 2)).epoch(1))[1] for rank in (0, 1)]
    for field in range(len(second)):
        assert torch.equal(resumed[field], second[field])
        assert torch.equal(by_workers[field], second[field])
        assert torch.equal(torch.cat([half[field] for half in halves]), second[field])
    # Three processes have different images each.
    shares = [next(repeated_loader(share=(rank, 3)).epoch(1)).index.tolist() for rank in range(3)]
    assert all(len(set(share)) == 4 for share in shares)
    assert sorted(row for share in shares for row in share) == sorted(first.index.tolist())


def test_classes_are_balanced_among_repeated_images() -> None:
    data = DataConfig(source="unused", augmentation_repeats=3, class_power=0.0)
    rare = 0
    for epoch in range(20):
        for batch in repeated_loader(data).epoch(epoch):
            # Crops of 8 px can be equal by chance.
            assert len({image.numpy().tobytes() for image in batch.images}) > 9
            rare += int((batch.labels == 1).sum())
    assert rare / (20 * 24) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("other", [{"streaming": True}, {"repeat_epochs": 2}])
def test_what_cannot_repeat_images_is_refused(other: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"data.augmentation_repeats = 3: .* leave one of them out"):
        DataConfig(source="wds:x", augmentation_repeats=3, **other)  # type: ignore[arg-type]


def test_the_trick_sets_the_repeats() -> None:
    data = RepeatedAugmentation(times=4).data(DataConfig())
    assert data.augmentation_repeats == 4
    with pytest.raises(NoEffect, match=r"data.augmentation_repeats is already 4"):
        RepeatedAugmentation(times=4).data(data)
    with pytest.raises(DoesNotApply, match=r"with data\.streaming each comes once"):
        RepeatedAugmentation().data(DataConfig(source="wds:x", streaming=True))


def test_blocks_of_pairs_repeat_images_too() -> None:
    # As mixup of pairs reads them: two orders, in which an image can come three times each.
    loader = repeated_loader(repeats=2)
    seen: dict[int, list[int]] = {}
    for request in loader._requests(1, 0, REPEATED):
        assert len(request.rows) == 24
        for row, occurrence in zip(
            request.rows.tolist(), request.occurrences.tolist(), strict=True
        ):
            seen.setdefault(row, []).append(occurrence)
    # Each copy has a number of its own, and so a crop of its own.
    assert all(len(set(numbers)) == len(numbers) for numbers in seen.values())
    assert {len(numbers) for numbers in seen.values()} <= {3, 6}
