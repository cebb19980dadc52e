"""Two one-sided tests against a margin: a reference, precedence, levels, and wrong margins."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from tests.study.synthetic_study import leave_one_out, runs
from trickbag.errors import UserError
from trickbag.report.study.answer import answer, verdict_text
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.equivalence import equivalence_p
from trickbag.study.analysis.images import image_interval
from trickbag.study.analysis.statistics import summarise
from trickbag.study.records.effect import effect_from_dict, effect_to_dict


def judged(differences: list[float], margin: float | None, outcome: str = "top1") -> Effect:
    values = {"full": [90 + d for d in differences], "-mixup": [90.0] * len(differences)}
    (effect,) = effects(
        [leave_one_out(["mixup"])], runs(values, outcome), {}, outcome, margin=margin
    )
    return effect


@pytest.mark.parametrize("margin", [0.05, 0.3, 1.0, 4.0])
def test_the_p_is_the_larger_one_of_two_one_sided_t_tests(margin: float) -> None:
    differences = [0.3, -0.1, 0.25, 0.4, 0.05]
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    p = equivalence_p(summarise(differences, 1.0), margin)
    assert p == pytest.approx(max(above, below), rel=1e-9)


@pytest.mark.parametrize("margin", [0.05, 0.3, 1.0])
def test_the_p_for_new_images_agrees_with_the_90_percent_interval(margin: float) -> None:
    rng = np.random.default_rng(0)
    table = 0.2 + 0.1 * rng.normal(size=(6, 40)) + 0.2 * rng.normal(size=40)
    interval = image_interval(table, 1.0, margin)
    assert interval is not None
    assert interval.equivalence_p_raw is not None
    of_seeds = equivalence_p(summarise(table.mean(1).tolist(), 1.0), margin)
    assert of_seeds is not None
    # Farther from its edge, on either side, the wider interval is less sure.
    assert abs(interval.equivalence_p_raw - 0.5) <= abs(of_seeds - 0.5) + 1e-9


def test_a_small_difference_is_equivalent_and_a_larger_margin_changes_no_other_number() -> None:
    differences = [0.02, -0.03, 0.01, 0.0, -0.02]
    effect, before = judged(differences, 0.5), judged(differences, None)
    assert (effect.verdict, before.verdict) == ("equivalent", "undetermined")
    assert effect.more_seeds is None
    assert verdict_text(effect) == "no difference that matters"
    assert "mixup makes no difference that matters" in answer([effect])
    for name in ("delta", "low", "high", "p", "p_raw", "sd"):
        assert getattr(effect, name) == getattr(before, name)
    assert judged(differences, 0.01).verdict == "undetermined"


def test_what_helps_by_less_than_the_margin_helps_and_says_so() -> None:
    effect = judged([0.2, 0.21, 0.19, 0.2, 0.22], 0.5)
    assert effect.verdict == "helps"
    assert [note.kind for note in effect.notes] == ["within_margin"]
    assert "smaller than the margin of 0.5" in (effect.note or "")
    assert "helps" in answer([effect])
    assert "smaller than the margin" in answer([effect])
    assert judged([0.2, 0.21, 0.19, 0.2, 0.22], 0.1).notes == ()
    assert judged([0.2, 0.21, 0.19, 0.2, 0.22], 0.5, "loss").verdict == "hurts"


def test_the_family_is_adjusted_by_holm() -> None:
    rng = np.random.default_rng(2)
    tricks = ["a", "b", "c"]
    values = {"full": rng.normal(90, 0.2, 5).tolist()}
    values |= {f"-{trick}": rng.normal(90, 0.2, 5).tolist() for trick in tricks}
    tests = [
        effect.equivalence
        for effect in effects([leave_one_out(tricks)], runs(values), {}, margin=0.6)
    ]
    raw = sorted(test.p_raw for test in tests if test)
    adjusted = sorted(test.p for test in tests if test)
    assert adjusted[0] == pytest.approx(min(1, 3 * raw[0]))
    assert all(a >= b for a, b in zip(adjusted, raw, strict=True))


def test_at_most_5_percent_of_studies_call_a_difference_of_the_margin_equivalent() -> None:
    rng = np.random.default_rng(4)
    studies, tricks = 200, ["a", "b", "c"]
    called = 0
    for _ in range(studies):
        full = rng.normal(90, 1, 5)
        values = {"full": full.tolist()}
        for trick in tricks:
            values[f"-{trick}"] = (full - 0.5 + rng.normal(0, 0.2, 5)).tolist()
        layout = leave_one_out(tricks)
        results = effects([layout], runs(values), {}, margin=0.5)
        called += any(e.equivalence is not None and e.equivalence.p < 0.05 for e in results)
    assert called / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_an_entry_is_read_as_it_was_written_and_without_a_margin_it_is_that_of_before() -> None:
    effect = judged([0.02, -0.03, 0.01, 0.0, -0.02], 0.5)
    data = effect_to_dict(effect)
    assert effect_from_dict(data, "here") == effect
    assert data["margin"] == 0.5
    assert "margin" not in effect_to_dict(dataclasses.replace(effect, equivalence=None))


def test_equal_differences_have_no_test() -> None:
    effect = judged([0.0, 0.0, 0.0], 0.5)
    assert effect.verdict == "undetermined"
    assert effect.equivalence is None


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf, 1e10])
def test_a_margin_that_cannot_be_is_refused(margin: float) -> None:
    with pytest.raises(UserError, match="margin"):
        judged([0.1, 0.2], margin)
