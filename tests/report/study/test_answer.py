"""The sentence that a study's page begins with, and its charts alone."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trickbag.report import forest_chart
from trickbag.report.format import MINUS, plus_minus, probability, signed
from trickbag.report.study.answer import answer
from trickbag.report.study.charts import forest_limits
from trickbag.report.study.price_chart import Point, pareto_front
from trickbag.report.study.sections import effect_row, treatment
from trickbag.study.analysis.effects import Effect, Verdict


def effect(
    label: str, delta: float | None, verdict: Verdict = "undetermined", **more: Any
) -> Effect:
    fields: dict[str, Any] = {
        "label": label,
        "model": "resnet18_d",
        "delta": delta,
        "low": None if delta is None else delta - 0.6,
        "high": None if delta is None else delta + 0.6,
        "p": None,
        "p_raw": None,
        "sd": None,
        "pairs": 5,
        "verdict": verdict,
        "status": "no_pairs" if delta is None else "measured",
        # Of an effect with variants of its own: one without is that of a factorial.
        "plus": None if "*" in label else label,
    }
    return Effect(**fields | more)


OPEN = [effect(f"t_{i}", 0.1) for i in range(5)]


def test_names_of_arms_stay_as_they_are_typed() -> None:
    effects = [
        effect("bag_of_tricks", 2.0, "helps"),
        effect("my_recipe", -1.0, "hurts"),
        effect("rsb_a2", 0.1),
    ]
    sentence = answer(effects, subject="recipe", against="plain_resnet").replace("\u00a0", " ")
    assert sentence == (
        "On this data, against plain_resnet, bag_of_tricks helps by 2.0 ± 0.6 points of top-1 "
        "(5 seeds); my_recipe hurts by 1.0 ± 0.6; rsb_a2 is undetermined."
    )


@pytest.mark.parametrize(
    ("effects", "sentence"),
    [
        (
            [effect("mixup", 1.94, "helps"), effect("label_smoothing", 0.3, more_seeds=12)],
            "On this data, mixup helps by 1.9 ± 0.6 points of top-1 (5 seeds); "
            "label smoothing is undetermined: a study of 17 seeds would settle it if it stays as "
            "it is.",
        ),
        (
            [
                effect("a", 1.0, "helps"),
                effect("b", 2.0, "helps", pairs=4),
                effect("c", -3.0, "hurts"),
            ],
            "On this data, b helps by 2.0 ± 0.6 points of top-1 (4 seeds) and a by 1.0 ± 0.6; c "
            "hurts by 3.0 ± 0.6.",
        ),
        (
            [
                effect(name, size, "helps")
                for name, size in zip("abcde", (5, 4, 3, 2, 1), strict=True)
            ],
            "On this data, a helps by 5.0 ± 0.6 points of top-1 (5 seeds), b by 4.0 ± 0.6, c by "
            "3.0 ± 0.6 "
            "and 2 others by less.",
        ),
        (
            [effect("a", 0.4, more_seeds=1), *OPEN[:4]],
            "On this data, no trick is shown to help (5 seeds); a is undetermined: a study of 6 "
            "seeds would settle it "
            "if it stays as it is; 4 others are undetermined too.",
        ),
        (OPEN, "On this data, no trick is shown to help (5 seeds); 5 tricks are undetermined."),
        (
            [effect("a", 2.0, "helps"), *OPEN],
            "On this data, a helps by 2.0 ± 0.6 points of top-1 (5 seeds); 5 others are "
            "undetermined.",
        ),
        (
            [effect("a", -2.0, "hurts"), *OPEN[:2]],
            "On this data, no trick is shown to help (5 seeds); a hurts by 2.0 ± 0.6 points of "
            "top-1; "
            "t 0 and t 1 are undetermined.",
        ),
        (
            [
                effect("a", 2.0, "helps"),
                effect("linear_scaling", 0.0, status="no_effect"),
                effect("squeeze_excite", None, status="does_not_apply", pairs=0),
            ],
            "On this data, a helps by 2.0 ± 0.6 points of top-1 (5 seeds); linear scaling changes "
            "nothing here; "
            "squeeze excite does not apply.",
        ),
        (
            [
                effect("a", 2.0, "helps"),
                effect("b", 1.0, "helps"),
                effect("a*b", -0.4, "hurts"),
                effect("a*c", 0.1),
            ],
            "On this data, a helps by 2.0 ± 0.6 points of top-1 (5 seeds) and b by 1.0 ± 0.6; "
            f"a does worse with b than without (interaction {MINUS}0.40).",
        ),
        (
            [effect("a", None, status="does_not_apply", pairs=0)],
            "On this data, none of the tricks applies.",
        ),
        ([effect("a", None, pairs=0)], "On this data, no effect can be told yet."),
        (
            [effect("mixup.alpha=0.4", 1.0, "helps", low=None, high=None)],
            "On this data, mixup.alpha=0.4 helps by 1 points of top-1 (5 seeds).",
        ),
    ],
)
def test_the_answer(effects: list[Effect], sentence: str) -> None:
    assert answer(effects).replace("\u00a0", " ") == sentence


@pytest.mark.parametrize(
    ("row", "verdict", "symbol"),
    [
        (effect("a", 1.0, "helps"), "helps", "▲"),
        (effect("a", 1.0), "undetermined", "○"),
        (effect("a", 0.0, status="no_effect"), "no effect", "="),
        (effect("a", 1.51, status="partly_no_effect"), "undetermined, partly no effect", "○"),
        (effect("a", 1.51, "helps", status="partly_no_effect"), "helps, partly no effect", "▲"),
        (effect("a", None, status="does_not_apply"), "does not apply", "—"),
        (effect("a", None), "no pair yet", "—"),
    ],
)
def test_the_verdict_of_a_row(row: Effect, verdict: str, symbol: str) -> None:
    written = effect_row(row, "top1")
    assert (written["verdict"], written["symbol"]) == (verdict, symbol)
    drawn = forest_chart([row, effect("other", 0.5)]) or ""
    assert f">{verdict}<" in drawn


def test_a_trick_without_effect_in_a_part_of_the_variants_is_counted_as_measured() -> None:
    rows = [effect("a", 1.51, status="partly_no_effect"), effect("b", 0.0, status="no_effect")]
    assert answer(rows) == (
        "On this data, no trick is shown to help (5 seeds); a is undetermined; "
        "b changes nothing here."
    )


def test_the_digits_of_an_answer() -> None:
    assert plus_minus(1.94, 0.6123) == "1.9\u00a0±\u00a00.6"
    assert plus_minus(1.94, 0.0312) == "1.94\u00a0±\u00a00.03"
    assert plus_minus(1.9384, 0.1512) == "1.94\u00a0±\u00a00.15"
    assert plus_minus(1234.5, 87.0) == "1,234\u00a0±\u00a087"
    assert probability(0.0499) == "0.0499"
    assert probability(0.0001) == "<\u00a00.001"
    assert signed("top1", -0.001) == "0.00"
    assert signed("top1", -1.5) == f"{MINUS}1.50"


def test_pareto_front() -> None:
    points = [
        Point(label=str(i), price=x, outcome=y)
        for i, (x, y) in enumerate([(1, 5), (2, 4), (2, 6), (3, 6), (4, 7)])
    ]
    assert [p.label for p in pareto_front(points, more_is_better=False)] == ["0", "2", "4"]
    assert [p.label for p in pareto_front(points, more_is_better=True)] == ["4"]
    twins = [Point(label=name, price=1, outcome=1) for name in "ab"]
    assert [p.label for p in pareto_front(twins, more_is_better=True)] == ["a", "b"]


def test_a_forest_alone() -> None:
    assert forest_chart([]) is None
    assert forest_chart([effect("a", None)]) is None
    drawn = forest_chart(
        [effect("<a>", 1.0, "helps"), effect("b", 0.5, low=None, high=None)], name="docs"
    )
    assert drawn is not None
    assert "&lt;a&gt;" in drawn
    assert ">helps<" in drawn
    assert ">undetermined<" in drawn


def test_a_wide_interval_does_not_hide_the_others() -> None:
    rows = [effect(str(i), 1.0) for i in range(4)] + [effect("wide", 1.0, low=-500.0, high=502.0)]
    low, high = forest_limits(rows) or (math.nan, math.nan)
    assert -10 < low < 0 < 1.6 < high < 12
    assert forest_limits([effect("huge", 1e300)]) is not None


def test_names_of_a_factorials_cells() -> None:
    assert treatment("-a+b_c-d", ("a", "b_c", "d")) == "b"
    assert treatment("+a+b_c+d", ("a", "b_c", "d")) == "abc"
    assert treatment("-a-b_c-d", ("a", "b_c", "d")) == "(1)"
    assert treatment("full", ()) == "full"
    assert treatment("other", ("a",)) == "other"
