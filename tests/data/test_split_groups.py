"""Copies and groups are held back together: properties of the splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.data.split import hold_back, hold_back_groups, hold_back_together

SPLITS = (hold_back_together, hold_back_groups)


def names(n: int) -> list[str]:
    return [f"class/{i:05}.jpg" for i in range(n)]


@st.composite
def listings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels and groups of a listing, both (N,), with two groups at least."""
    rows = draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=60).filter(
            lambda rows: len({group for _, group in rows}) > 1
        )
    )
    labels, groups = np.array(rows, np.int64).T
    return labels, groups


@pytest.mark.parametrize("split", SPLITS)
@given(listing=listings(), fraction=st.floats(0.01, 0.99), seed=st.integers(-(2**63), 2**63 - 1))
@settings(deadline=None, max_examples=20)
def test_no_group_is_divided(
    split: object, listing: tuple[np.ndarray, np.ndarray], fraction: float, seed: int
) -> None:
    labels, groups = listing
    train, val = split(names(len(labels)), labels, fraction, seed, groups)  # type: ignore[operator]
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    assert not set(groups[train]) & set(groups[val])
    assert len(train)
    assert len(val) or split is hold_back_together
    again = split(names(len(labels)), labels, fraction, seed, groups)  # type: ignore[operator]
    np.testing.assert_array_equal(again[1], val)


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
@settings(deadline=None, max_examples=20)
def test_images_alone_are_split_as_ever(
    labels: list[int], fraction: float, seed: int, data: st.DataObject
) -> None:
    groups = np.array(data.draw(st.permutations(range(len(labels)))), np.int64)
    place = names(len(labels)), np.array(labels, np.int64), fraction, seed
    for ours, before in zip(hold_back_together(*place, groups), hold_back(*place), strict=True):
        np.testing.assert_array_equal(ours, before)


def test_the_numbers_of_groups_do_not_matter() -> None:
    labels = np.arange(60) % 3
    groups = np.arange(60) // 4
    for split in SPLITS:
        once = split(names(60), labels, 0.2, 0, groups)[1]
        np.testing.assert_array_equal(once, split(names(60), labels, 0.2, 0, 100 - groups)[1])


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.25, 0.3, 0.5, 0.75])
def test_groups_are_stratified_as_well_as_they_can_be(fraction: float) -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 600)
    # The patients of a class differ in number of images, and some have images of two classes.
    labels = np.where(rng.random(600) < 0.9, groups % 3, (groups + 1) % 3)
    choices = set()
    for seed in range(6):
        val = hold_back_groups(names(600), labels, fraction, seed, groups)[1]
        shares = np.bincount(labels[val]) / np.bincount(labels)
        np.testing.assert_allclose(shares, fraction, atol=0.05)
        choices.add(tuple(val))
    assert len(choices) > 3, "the seed decides"


@pytest.mark.parametrize(
    ("labels", "groups", "held"),
    [
        # A class of one group stays in training.
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 3, 3], [{0}, {1}, {2}]),
        # One group of each class: one of the two is held back, as nothing else is possible.
        ([0, 0, 1, 1], [0, 0, 1, 1], [{0}, {1}]),
        # A class an image.
        ([0, 1], [0, 1], [{0}, {1}]),
        # The large group is not held back.
        ([0] * 90 + [0] * 10, [0] * 90 + [1] * 10, [{1}]),
    ],
)
def test_few_groups(labels: list[int], groups: list[int], held: list[set[int]]) -> None:
    for seed in range(4):
        place = names(len(labels)), np.array(labels, np.int64), 0.2, seed
        val = hold_back_groups(*place, np.array(groups))[1]
        assert set(np.array(groups)[val]) in held


def test_many_groups_take_no_time() -> None:
    groups = np.repeat(np.arange(30_000), 2)
    labels = groups % 5
    val = hold_back_groups(names(60_000), labels, 0.2, 0, groups)[1]
    assert len(val) == 12_000
    assert (np.bincount(groups[val]) != 1).all()


def test_many_classes_take_no_memory() -> None:
    groups = np.repeat(np.arange(4_000), 2)
    for labels, held in ((groups % 3_990, 20), (groups, 1_600)):
        val = hold_back_groups(names(8_000), labels, 0.2, 0, groups)[1]
        assert (np.bincount(groups[val]) != 1).all()
        assert len(val) == held
