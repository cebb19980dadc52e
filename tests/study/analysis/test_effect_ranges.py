"""Whatever was measured, effects are finite numbers or undefined."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.analysis.one_effect import mixup_effect
from tests.study.synthetic_study import MODEL, leave_one_out
from trickbag.study.analysis.effects import effects
from trickbag.study.analysis.outcomes import Cells
from trickbag.study.analysis.statistics import (
    number,
)
from trickbag.study.records.effect import effect_to_dict

NUMBERS = st.one_of(
    st.none(),
    st.floats(),
    st.sampled_from([0.0, 90.0, 90.0, 1e308, -1e308, 5e-324, 2**1024, -(10**400)]),
    st.integers(-100, 100),
)


METRICS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("top1", "train_throughput", "params", "macs", "train_time_s"), NUMBERS),
)


RUNS = st.dictionaries(st.integers(0, 9), METRICS, max_size=10)


def finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or (math.isfinite(value) and type(value) is float)


@given(RUNS, RUNS, RUNS)
@settings(max_examples=150, deadline=None)
def test_whatever_was_measured_the_numbers_are_finite_and_the_order_does_not_matter(
    full: dict[int, dict[str, float]],
    first: dict[int, dict[str, float]],
    second: dict[int, dict[str, float]],
) -> None:
    cells: Cells = {(MODEL, "full"): full, (MODEL, "-a"): first, (MODEL, "-b"): second}
    layouts = [leave_one_out(["a", "b"])]
    all_effects = effects(layouts, cells, {})
    data = [effect_to_dict(effect) for effect in all_effects]
    assert finite(data)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    for effect in all_effects:
        assert effect.note is not None or None not in (
            effect.delta,
            effect.low,
            effect.high,
            effect.p,
        )
        assert effect.verdict == "undetermined" or (effect.p is not None and effect.p < 0.05)
        if effect.low is not None and effect.high is not None and effect.delta is not None:
            assert effect.low <= effect.delta <= effect.high
    turned = {key: dict(reversed(list(cells[key].items()))) for key in reversed(list(cells))}
    assert [effect_to_dict(effect) for effect in effects(layouts, turned, {})] == data


def test_huge_numbers_are_tested_like_small_ones() -> None:
    small_, huge = (
        mixup_effect([3.0, 4.0, 5.0], [2.5, 3.0, 3.0]),
        mixup_effect([3e300, 4e300, 5e300], [2.5e300, 3e300, 3e300]),
    )
    assert huge.p == pytest.approx(small_.p)
    assert huge.delta == pytest.approx((small_.delta or 0) * 1e300)
    over = mixup_effect([1.6e308, -1.6e308], [0.0, 0.0])
    assert (over.delta, over.low, over.high) == (0.0, None, None)
    assert over.note == "the interval is beyond the range of numbers"


def test_numbers_out_of_range_are_not_defined() -> None:
    assert [number(v) for v in (None, math.nan, math.inf, 10**400, 3, 0.5)] == [None] * 4 + [
        3.0,
        0.5,
    ]
