"""Looks at a study that grows: what they spend, which verdicts stay, and false `helps`."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.synthetic_study import MODEL, leave_one_out, runs
from trickbag.errors import UserError
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.looks import (
    Look,
    Verdict,
    judgement,
    spent,
    stopped_cells,
    unfinished,
    with_look,
)
from trickbag.study.analysis.statistics import ALPHA
from trickbag.study.records.effect import effect_to_dict
from trickbag.study.records.look import look_from_dict, look_to_dict
from trickbag.study.trial_plan import TrialPlan, trials_of

HELPS = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0]
NOTHING = [1.0, -1.1, 0.9, -1.05, 0.3, -0.2]


def look_at(
    differences: list[float],
    seeds: int,
    looks: tuple[Look, ...] = (),
    max_seeds: int | None = None,
    margin: float | None = None,
) -> tuple[Effect, tuple[Look, ...]]:
    """The effect of one trick at so many seeds, after earlier looks, and all looks."""
    values = {"full": [90 + d for d in differences[:seeds]], "-mixup": [90.0] * seeds}
    judged = judgement(looks, "top1", seeds, max_seeds, margin)
    (effect,) = effects(
        [leave_one_out(["mixup"])], runs(values), {}, margin=margin, judgement=judged
    )
    verdicts = {(MODEL, "mixup"): (effect.verdict, effect.verdict_images)}
    look = Look(outcome="top1", seeds=seeds, level=judged.level, verdicts=verdicts, margin=margin)
    return effect, with_look(looks, look)


def test_what_is_spent_grows_from_nothing_to_5_percent() -> None:
    shares = np.linspace(0, 1, 101)
    values = [spent(share) for share in shares]
    assert (values[0], values[-1]) == (0.0, ALPHA)
    assert values == sorted(values)
    # Twice the upper tail of 1.96 times the root of two.
    assert spent(0.5) == pytest.approx(math.erfc(1.959963984540054), rel=1e-9)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=10, unique=True), st.integers(40, 60))
def test_the_levels_of_all_looks_sum_to_5_percent_at_most(seeds: list[int], most: int) -> None:
    looks: tuple[Look, ...] = ()
    for number in sorted(seeds):
        level = judgement(looks, "top1", number, most, None).level
        looks = with_look(looks, Look(outcome="top1", seeds=number, level=level))
    assert sum(look.level for look in looks) <= ALPHA + 1e-12
    level = judgement(looks, "top1", most, most, None).level
    before = sum(look.level for look in looks if look.seeds < most)
    assert level + before == pytest.approx(ALPHA)


def test_a_first_look_is_as_without_looks_and_spends_all() -> None:
    values = {"full": [90 + d for d in HELPS], "-mixup": [90.0] * 6}
    plain = effects([leave_one_out(["mixup"])], runs(values), {})
    effect, looks = look_at(HELPS, 6)
    assert [effect] == plain
    assert looks[0].level == ALPHA


@pytest.mark.parametrize(
    ("differences", "verdict"), [(HELPS, "helps"), ([0.3, -0.4, 0.2, *HELPS], "undetermined")]
)
def test_the_verdict_of_the_first_look_stays_and_new_intervals_are_exploratory(
    differences: list[float], verdict: str
) -> None:
    first, looks = look_at(differences, 3)
    later, looks = look_at(differences, 6, looks)
    assert first.verdict == later.verdict == verdict
    assert later.pairs == 6
    assert (first.exploratory, later.exploratory) == (False, True)
    assert later.more_seeds is None
    assert effect_to_dict(later)["exploratory"] is True
    assert "at 3 seeds" in (later.note or "")
    assert [look.level for look in looks] == [ALPHA, 0.0]


def test_a_look_at_the_same_number_of_seeds_is_the_same_look() -> None:
    _, looks = look_at(HELPS, 3)
    again, looks = look_at(HELPS, 3, looks)
    assert not again.exploratory
    assert len(looks) == 1


def test_another_outcome_has_looks_of_its_own() -> None:
    _, looks = look_at(HELPS, 3)
    assert judgement(looks, "loss", 6, None, None).level == ALPHA


def test_a_rejection_of_a_planned_look_stays_whatever_comes() -> None:
    differences = [*HELPS[:5], -3.0, -3.0]
    first, looks = look_at(differences, 5, max_seeds=7)
    later, _ = look_at(differences, 7, looks, max_seeds=7)
    assert first.verdict == later.verdict == "helps"
    assert later.p is not None
    assert later.p > ALPHA
    assert not later.exploratory


def test_a_planned_look_can_settle_what_an_earlier_one_left_open() -> None:
    # At 2 of 6 seeds next to nothing may be spent.
    first, looks = look_at(HELPS, 2, max_seeds=6)
    later, _ = look_at(HELPS, 6, looks, max_seeds=6)
    assert (first.verdict, later.verdict) == ("undetermined", "helps")


def test_an_equivalence_stays_for_its_margin_alone_and_gives_way_to_a_difference() -> None:
    equal = [0.1, -0.1, 0.08, -0.07, 0.02, 0.01, 0.0, 0.05]
    first, looks = look_at(equal, 6, max_seeds=8, margin=1.0)
    assert first.verdict == "equivalent"
    wide = [*equal[:6], 3.0, -4.0]
    assert look_at(wide, 8, looks, 8, margin=1.0)[0].verdict == "equivalent"
    assert look_at(wide, 8, looks, 8, margin=0.5)[0].verdict == "undetermined"
    helps = [0.2, 0.21, 0.19, 0.2, 0.22, 0.2, 0.19, 0.2]
    assert look_at(helps, 8, looks, 8, margin=1.0)[0].verdict == "helps"


def test_while_trials_are_left_there_is_no_new_verdict() -> None:
    values = {"full": [90 + d for d in HELPS], "-mixup": [90.0] * 6}
    judged = unfinished(judgement((), "top1", 8, None, None))
    (effect,) = effects([leave_one_out(["mixup"])], runs(values), {}, judgement=judged)
    assert effect.verdict == "undetermined"
    assert effect.p is not None
    assert effect.p < 0.001
    assert [note.kind for note in effect.notes] == ["unfinished"]


@pytest.mark.parametrize("planned", [True, False])
def test_looks_at_null_studies_call_at_most_5_percent(planned: bool) -> None:
    rng = np.random.default_rng(7)
    studies, called, by_any_look = 60, 0, 0
    tricks, at = ["a", "b"], (3, 6, 9, 12)
    for _ in range(studies):
        full = rng.normal(90, 1, 12)
        values = {"full": full, **{f"-{t}": full + rng.normal(0, 1, 12) for t in tricks}}
        looks: tuple[Look, ...] = ()
        plain = False
        for seeds in at:
            cells = runs({label: row[:seeds].tolist() for label, row in values.items()})
            judged = judgement(looks, "top1", seeds, 12 if planned else None, None)
            results = effects([leave_one_out(tricks)], cells, {}, judgement=judged)
            verdicts = {(e.model, e.label): (e.verdict, e.verdict_images) for e in results}
            look = Look(outcome="top1", seeds=seeds, level=judged.level, verdicts=verdicts)
            looks = with_look(looks, look)
            plain |= any(e.p is not None and e.p < ALPHA for e in results)
        called += any(verdict != "undetermined" for verdict, _ in looks[-1].verdicts.values())
        by_any_look += plain
    assert called <= by_any_look
    assert called / studies <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / studies)


def test_a_look_is_read_as_it_was_written() -> None:
    _, looks = look_at(HELPS, 3, margin=0.5)
    assert look_from_dict(look_to_dict(looks[0]), "here") == looks[0]


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": 0},
        {"seeds": "3"},
        {"level": 0.5},
        {"level": None},
        {"outcome": 1},
        {"verdicts": [{"model": "a", "label": "b", "verdict": "perhaps"}]},
        {"verdicts": {}, "seeds": 2.5},
    ],
)
def test_a_damaged_look_is_refused(change: dict[str, Any]) -> None:
    look = Look(outcome="top1", seeds=3, level=ALPHA)
    with pytest.raises(UserError, match="here"):
        look_from_dict(look_to_dict(look) | change, "here")
    assert dataclasses.replace(look, seeds=4) != look


def two_looks() -> tuple[Look, ...]:
    """At 4 seeds `a` was settled, at 8 `b`; `c` is open."""
    rows: tuple[tuple[Verdict, Verdict], ...] = (("helps", "undetermined"), ("helps", "hurts"))
    return tuple(
        Look(
            outcome="top1",
            seeds=seeds,
            level=0.01,
            verdicts={
                (MODEL, "a"): (a, None),
                (MODEL, "b"): (b, None),
                (MODEL, "c"): ("undetermined", None),
            },
        )
        for seeds, (a, b) in zip((4, 8), rows, strict=True)
    )


def test_arms_that_are_settled_are_stopped_and_shared_ones_go_on() -> None:
    layout = leave_one_out(["a", "b", "c"])
    assert stopped_cells([layout], two_looks(), "top1") == {(MODEL, "-a"): 4, (MODEL, "-b"): 8}
    assert stopped_cells([layout], two_looks(), "loss") == {}
    # Once all are settled the shared arm stops too, where the last of them did.
    without = leave_one_out(["a", "b"])
    assert stopped_cells([without], two_looks(), "top1") == {
        (MODEL, "-a"): 4,
        (MODEL, "-b"): 8,
        (MODEL, "full"): 8,
    }


def test_the_trials_of_a_stopped_arm_end_with_its_look() -> None:
    layout = leave_one_out(["a", "b", "c"])
    stopped = stopped_cells([layout], two_looks(), "top1")
    plan = TrialPlan.of([layout], 12, "0f1e", stopped=stopped)
    assert {label: len(ids) for (_, label), ids in plan.ids.items()} == {
        "full": 12,
        "-a": 4,
        "-b": 8,
        "-c": 12,
    }
    # Those that are left have the ids that they always had.
    complete = TrialPlan.of([layout], 12, "0f1e")
    for cell, ids in plan.ids.items():
        assert ids.items() <= complete.ids[cell].items()


def test_no_trial_of_a_stopped_arm_is_run() -> None:
    variants = leave_one_out(["a", "b"]).variants
    names = {
        (trial.label, trial.seed)
        for trial in trials_of(
            variants,
            range(4),
            lambda recipe, seed: f"{recipe.name} {seed}",
            {(MODEL, "-a"): 2},
        ).values()
    }
    assert names == {(label, seed) for label in ("full", "-b") for seed in range(4)} | {
        ("-a", 0),
        ("-a", 1),
    }


def test_an_arm_that_was_stopped_early_says_that_its_estimate_is_biased() -> None:
    values = {"full": [90 + d for d in HELPS], "-mixup": [90.0] * 3}
    _, looks = look_at(HELPS, 3, max_seeds=3)
    for stops, kinds in ((True, ["stopped_early"]), (False, [])):
        judged = judgement(looks, "top1", 6, 12, None, stops=stops)
        (effect,) = effects([leave_one_out(["mixup"])], runs(values), {}, judgement=judged)
        assert effect.verdict == "helps"
        assert [note.kind for note in effect.notes] == kinds
