"""Class-balanced orders: shares, occurrences, and the loader that follows them."""

from __future__ import annotations

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
from trickbag.data.loading.sampling import balanced_order, earlier_occurrences
from trickbag.data.source import ArrayPart
from trickbag.errors import UserError
from trickbag.streams import stream
from trickbag.tricks.balanced_sampling import BalancedSampling
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
