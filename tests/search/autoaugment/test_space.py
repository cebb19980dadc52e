"""The space of policies: its size, its encoding; every policy of it is one to train with."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag.data.policies.magnitudes import RANGES, argument
from trickbag.search.autoaugment.space import (
    MAGNITUDES,
    OPERATIONS,
    SIZE,
    SIZES,
    decode,
    draw,
    encode,
    joined,
)
from trickbag.tricks.auto_augment import TABLES, AutoAugment

DECISIONS = st.tuples(*(st.integers(0, size - 1) for size in SIZES))


def test_the_size_of_the_space() -> None:
    assert len(SIZES) == 30
    assert SIZE == (15 * 11 * 10) ** 10
    # With SamplePairing it is that of the paper.
    assert math.isclose((16 * 11 * 10) ** 10, 2.9e32, rel_tol=0.02)
    assert math.prod(SIZES) == SIZE


@given(decisions=DECISIONS)
@settings(max_examples=60, deadline=None)
def test_any_decisions_are_a_policy_and_back(decisions: tuple[int, ...]) -> None:
    policy = decode(decisions)
    assert [len(row) for row in policy] == [2] * 5
    again = encode(policy)
    assert decode(again) == policy
    # But for the magnitudes that an operation ignores, the decisions are those of before.
    for i, (choice, before) in enumerate(zip(again, decisions, strict=True)):
        name = OPERATIONS[decisions[i - i % 3]]
        ignored = i % 3 == 2 and name in ("auto_contrast", "invert", "equalize")
        assert choice == (0 if ignored else before)
    assert AutoAugment(policy=policy).policy == policy


def test_operations_without_a_magnitude_are_those_that_ignore_it() -> None:
    for operation in OPERATIONS:
        span = RANGES["standard"][operation]
        levels = {span(level / (MAGNITUDES - 1), False, 331) for level in range(MAGNITUDES)}
        step = decode((OPERATIONS.index(operation), 5, 7) * 10)[0][0]
        assert step == (operation, 0.5, 7 if len(levels) > 1 else 0)


def test_decisions_and_tables_outside_of_the_space() -> None:
    for wrong in ((), (0,) * 29, (15,) + (0,) * 29, (0, 11) + (0,) * 28, (-1,) + (0,) * 29):
        with pytest.raises(ValueError, match="no decisions of the space"):
            decode(wrong)
    with pytest.raises(ValueError, match="no policy of the space"):
        encode(((("rotate", 0.55, 3),) * 2,) * 5)
    with pytest.raises(ValueError, match="no decisions"):
        encode(TABLES["imagenet"])


def test_the_best_policies_are_joined_in_their_order() -> None:
    rng = np.random.default_rng(0)
    policies = [draw(rng) for _ in range(5)]
    table = joined(policies)
    assert len(table) == 25
    assert table == tuple(itertools.chain(*policies))
    assert AutoAugment(policy=table).policy == table


def test_policies_are_drawn_uniformly() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([encode(draw(rng)) for _ in range(2000)])
    for column, size in zip(drawn.T, SIZES, strict=True):
        if size != MAGNITUDES:  # those of some operations are 0
            shares = np.bincount(column, minlength=size) / len(column)
            assert np.abs(shares - 1 / size).max() < 0.03


def test_cutout_has_the_range_of_the_paper() -> None:
    sides = [argument("cutout", "standard", level / 9, False, (331, 331)) for level in range(10)]
    assert sides == [0, 7, 13, 20, 27, 33, 40, 47, 53, 60]
    assert argument("cutout", "standard", 1.0, True, (64, 64)) == 12
