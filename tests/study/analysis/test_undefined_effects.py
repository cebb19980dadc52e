"""Effects without pairs, spread or applicability say why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.study.analysis.one_effect import mixup_effect
from tests.study.synthetic_study import leave_one_out, runs
from trickbag.study.analysis.effects import effects

FULL = [91.2, 90.4, 92.1, 90.9, 91.5]


WITHOUT = [89.9, 89.8, 90.2, 90.1, 89.7]


@pytest.mark.parametrize(
    ("full", "without", "note"),
    [
        ([], [90.0], "no finished trial of full"),
        ([91.0], [], "no finished trial of -mixup"),
        ([], [], "no finished trial of full and -mixup"),
        ([None, None], [90.0], "top1 is not defined in any trial of full"),
        (
            [91.0, None],
            [None, 90.0],
            "full and -mixup have no seed in common with top1 defined in both",
        ),
        ([1.5e308], [-1.5e308], "full and -mixup have no seed in common with top1 defined in both"),
    ],
)
def test_no_pair_says_why(
    full: Sequence[float | None], without: Sequence[float | None], note: str
) -> None:
    effect = mixup_effect(full, without)
    numbers = (
        effect.delta,
        effect.low,
        effect.high,
        effect.p,
        effect.p_raw,
        effect.sd,
        effect.more_seeds,
    )
    assert numbers == (None,) * 7
    assert (effect.pairs, effect.verdict, effect.note) == (0, "undetermined", note)


def test_a_variant_that_never_ran_is_like_one_without_a_finished_trial() -> None:
    (effect,) = effects([leave_one_out(["mixup"])], {}, {})
    assert effect.note == "no finished trial of full and -mixup"


def test_one_pair_has_no_interval() -> None:
    effect = mixup_effect([91.5], [90.0])
    assert (effect.delta, effect.low, effect.high, effect.p, effect.sd) == (
        1.5,
        None,
        None,
        None,
        None,
    )
    assert (effect.pairs, effect.verdict) == (1, "undetermined")
    assert effect.note == "one pair: an interval needs at least two"


@pytest.mark.parametrize(
    ("full", "without", "delta"),
    [
        ([91.0, 92.0, 90.0], [90.0, 91.0, 89.0], 1.0),
        ([91.3, 92.7, 90.1], [91.3, 92.7, 90.1], 0.0),
        # One image of 359 more in each pair: the differences are equal but for the last bit.
        (
            [100 * r / 359 for r in (350, 341, 347)],
            [100 * r / 359 for r in (349, 340, 346)],
            100 / 359,
        ),
    ],
)
def test_differences_without_spread_have_no_interval(
    full: list[float], without: list[float], delta: float
) -> None:
    effect = mixup_effect(full, without)
    assert effect.delta == pytest.approx(delta, abs=1e-13)
    assert (effect.low, effect.high, effect.p, effect.p_raw, effect.sd) == (
        None,
        None,
        None,
        None,
        0.0,
    )
    assert (effect.pairs, effect.verdict, effect.more_seeds) == (3, "undetermined", None)
    assert effect.note == "no spread: every pair differs by the same amount"


def test_differences_that_are_only_rounding_are_zero() -> None:
    effect = mixup_effect([0.1 + 0.2, 0.3], [0.3, 0.3])
    assert 0.1 + 0.2 != 0.3
    assert (effect.delta, effect.sd) == (0.0, 0.0)


def test_effects_without_p_do_not_count_as_comparisons() -> None:
    cells = runs({"full": FULL, "-mixup": WITHOUT, "-warmup": FULL, "-ema": []})
    all_effects = effects([leave_one_out(["warmup", "mixup", "ema"])], cells, {})
    assert all_effects[1].p == all_effects[1].p_raw
    assert [e.p is None for e in all_effects] == [True, False, True]


@pytest.mark.parametrize("label", ["full", "-mixup"])
def test_a_variant_that_cannot_be_is_a_row_that_says_why(label: str) -> None:
    cells = runs({"full": FULL, "-mixup": WITHOUT, "-warmup": WITHOUT})
    layout = leave_one_out(["mixup"], reasons={label: "there is no slot"})
    (effect,) = effects([layout], cells, {})
    assert effect.note == "does not apply: there is no slot"
    assert effect.status == "does_not_apply"
    assert (effect.delta, effect.sd, effect.p, effect.pairs, effect.cost) == (
        None,
        None,
        None,
        0,
        {},
    )
    assert (effect.verdict, effect.plus, effect.minus) == ("undetermined", "full", "-mixup")
