"""Pictures of a policy: the images of the data, row by row under each sub-policy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders.images import photo
from tests.builders.trained import preprocessing_of_size
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.policies.policies import LearnedPolicy
from trickbag.data.source import ArrayPart
from trickbag.search.autoaugment.pictures import policy_pictures
from trickbag.tricks.auto_augment import TABLES

INVERT, NEVER, HALF = (("invert", 1.0, 0),), (("invert", 0.0, 0),), (("invert", 0.5, 0),)
POLICY = LearnedPolicy(table=(INVERT, NEVER, HALF, INVERT))  # type: ignore[arg-type]
SIZE = preprocessing_of_size(16, 20)


def part_of(count: int) -> ArrayPart:
    images = np.stack([photo(24, 20, seed) for seed in range(count)])
    return ArrayPart.of(images, np.zeros(count, np.int64), "photo")


def test_each_row_is_the_images_under_one_sub_policy() -> None:
    part = part_of(40)
    plain, rows = policy_pictures(POLICY, SIZE, part, 30)
    crops = {SIZE.crop(part.read(row)).transpose(1, 2, 0).tobytes() for row in range(40)}
    assert len({image.tobytes() for image in plain} & crops) == len(plain) == 30
    assert [row.steps for row in rows] == [INVERT, NEVER, HALF]
    inverted, same, half = (np.stack(row.images) for row in rows)
    assert inverted.shape == (30, 16, 16, 3)
    assert inverted.dtype == np.uint8
    assert np.array_equal(inverted, 255 - np.stack(plain))
    assert np.array_equal(same, np.stack(plain))
    changed = (half != np.stack(plain)).any(axis=(1, 2, 3))
    assert 8 < changed.sum() < 22


def test_equal_seeds_give_equal_pictures() -> None:
    policy, part = LearnedPolicy(table=TABLES["cifar10"]), part_of(6)
    first = policy_pictures(policy, SIZE, part, 3, seed=1)
    again = policy_pictures(policy, SIZE, part, 3, seed=1)
    other = policy_pictures(policy, SIZE, part, 3, seed=2)
    assert len(first.rows) == 25
    for row, same in zip(first.rows, again.rows, strict=True):
        assert np.array_equal(row.images, same.images)
    assert not all(
        np.array_equal(row.images, row2.images)
        for row, row2 in zip(first.rows, other.rows, strict=True)
    )


def test_fewer_images_and_images_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    part, read = part_of(5), ArrayPart.read
    assert len(policy_pictures(POLICY, SIZE, part, 8).plain) == 5

    def damaged(self: ArrayPart, i: int) -> np.ndarray:
        if i % 2:
            raise DecodeError("truncated")
        return read(self, i)

    monkeypatch.setattr(ArrayPart, "read", damaged)
    plain, rows = policy_pictures(POLICY, SIZE, part, 8)
    assert len(plain) == 3
    assert all(len(row.images) == 3 for row in rows)
