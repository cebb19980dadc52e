"""The validation part that is held back: stratified, by seed and name."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.data.split import hold_back

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=120).map(
    lambda labels: np.array(labels, np.int64)
)
FRACTIONS = st.floats(0.01, 0.99)


def names(n: int) -> list[str]:
    return [f"class/{i:05}.jpg" for i in range(n)]


@given(labels=LABELS, fraction=FRACTIONS, seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_the_parts_are_a_stratified_partition(
    labels: np.ndarray, fraction: float, seed: int
) -> None:
    train, val = hold_back(names(len(labels)), labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    for label in np.unique(labels):
        n, held = (labels == label).sum(), (labels[val] == label).sum()
        assert held <= n - 1
        assert held >= min(1, n - 1)
        assert abs(held - fraction * n) <= 0.5 or held in (1, n - 1)


@given(labels=LABELS, fraction=FRACTIONS, seed=st.integers(0, 2**31), data=st.data())
@settings(deadline=None)
def test_a_lost_image_moves_one_other_at_most(
    labels: np.ndarray, fraction: float, seed: int, data: st.DataObject
) -> None:
    every = names(len(labels))
    lost = data.draw(st.integers(0, len(labels) - 1))
    rest = [i for i in range(len(labels)) if i != lost]
    before = {every[i] for i in hold_back(every, labels, fraction, seed)[1]} - {every[lost]}
    fewer = [every[i] for i in rest]
    after = {fewer[i] for i in hold_back(fewer, labels[rest], fraction, seed)[1]}
    moved = before ^ after
    assert len(moved) <= 1
    assert all(labels[every.index(name)] == labels[lost] for name in moved)


def test_the_seed_decides_alone() -> None:
    labels = np.repeat(np.arange(4), 50)
    once, again, other = (hold_back(names(200), labels, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(once, again)
    assert len(np.intersect1d(once, other)) < 25  # 8 of 40 by chance
    assert len(once) == len(other) == 40


def test_the_choice_does_not_follow_the_order_of_names() -> None:
    held = np.concatenate(
        [hold_back(names(1000), np.zeros(1000, np.int64), 0.3, seed)[1] for seed in range(20)]
    )
    counts = np.histogram(held, bins=10, range=(0, 1000))[0]
    expected = 600
    # Chi-squared with 9 degrees of freedom, p = 0.001.
    assert ((counts - expected) ** 2 / expected).sum() < 27.9
