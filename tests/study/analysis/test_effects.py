from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.study.analysis.one_effect import mixup_effect
from tests.study.synthetic_study import MODEL, leave_one_out, runs
from trickbag.errors import Note, UserError
from trickbag.study.analysis.effects import effects
from trickbag.study.analysis.notes import EffectNote
from trickbag.study.analysis.outcomes import OUTCOMES, Metrics, require_outcome
from trickbag.study.analysis.statistics import (
    geometric_mean,
    holm,
    summarise,
)
from trickbag.study.records.effect import effect_from_dict, effect_to_dict

FULL = [91.2, 90.4, 92.1, 90.9, 91.5]


WITHOUT = [89.9, 89.8, 90.2, 90.1, 89.7]


def test_a_paired_difference_is_that_of_scipys_paired_t_test() -> None:
    effect = mixup_effect(FULL, WITHOUT)
    test = stats.ttest_rel(FULL, WITHOUT)
    interval = test.confidence_interval(0.95)
    assert effect.delta == pytest.approx(1.28, abs=1e-12)  # (1.3 + 0.6 + 1.9 + 0.8 + 1.8) / 5
    assert effect.sd == pytest.approx(np.std(np.subtract(FULL, WITHOUT), ddof=1))
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))
    assert effect.p_raw == effect.p == pytest.approx(test.pvalue)
    assert (effect.pairs, effect.verdict, effect.note, effect.more_seeds) == (
        5,
        "helps",
        None,
        None,
    )
    assert (effect.label, effect.model, effect.plus, effect.minus) == (
        "mixup",
        MODEL,
        "full",
        "-mixup",
    )


DECIMALS = st.integers(-(10**9), 10**9).map(lambda n: n / 1000)


@given(
    st.lists(st.tuples(DECIMALS, DECIMALS), min_size=2, max_size=12).filter(
        lambda pairs: (
            np.ptp([a - b for a, b in pairs]) > 1e-6 * max(abs(x) for pair in pairs for x in pair)
        )
    )
)
@settings(max_examples=150, deadline=None)
def test_any_numbers_agree_with_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    plus, minus = (list(column) for column in zip(*pairs, strict=True))
    summary = summarise([a - b for a, b in pairs], max(map(abs, plus + minus)))
    test = stats.ttest_rel(plus, minus)
    interval = test.confidence_interval(0.95)
    assert summary.p == pytest.approx(test.pvalue, rel=1e-6)
    assert (summary.low, summary.high) == pytest.approx(
        (interval.low, interval.high), rel=1e-6, abs=1e-9
    )


def test_holm_by_hand() -> None:
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 1 * 0.04, which may not be below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.05, 0.04, 0.03, 0.02, 0.01]) == pytest.approx([0.09, 0.09, 0.09, 0.08, 0.05])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    # Marcus, Peritz and Gabriel 1976: a hypothesis falls where every set that holds it does.
    sets = [s for n in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), n)]
    closed = [
        max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(len(p))
    ]
    assert holm(p) == pytest.approx(closed)


def test_p_values_are_adjusted_over_all_effects_of_the_study() -> None:
    rng = np.random.default_rng(0)
    tricks, models = ["a", "b", "c"], ["resnet18", "resnet50"]
    cells: dict[tuple[str, str], dict[int, Metrics]] = {}
    raw = []
    for model, shift in zip(models, (1.0, 0.2), strict=True):
        full = rng.normal(90, 1, 6)
        cells |= runs({"full": full.tolist()}, model=model)
        for trick in tricks:
            less = full - shift + rng.normal(0, 0.4, 6)
            cells |= runs({f"-{trick}": less.tolist()}, model=model)
            raw.append(float(stats.ttest_rel(full, less).pvalue))
    all_effects = effects([leave_one_out(tricks, model) for model in models], cells, {})
    assert [(e.model, e.label) for e in all_effects] == [
        (model, trick) for model in models for trick in tricks
    ]
    assert [e.p_raw for e in all_effects] == pytest.approx(raw)
    assert [e.p for e in all_effects] == pytest.approx(holm(raw))
    assert {e.verdict for e in all_effects} == {"helps", "undetermined"}
    assert all((e.verdict == "helps") == (e.p is not None and e.p < 0.05) for e in all_effects)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_verdict_knows_where_the_outcome_is_better(outcome: str) -> None:
    better = OUTCOMES[outcome] == "higher"
    assert mixup_effect(FULL, WITHOUT, outcome).verdict == ("helps" if better else "hurts")
    assert mixup_effect(WITHOUT, FULL, outcome).verdict == ("hurts" if better else "helps")
    words = ("top1", "top5", "throughput", "map", "f1", "accuracy", "auc", "kappa", "sensitivity")
    words = (*words, "consistency", "box_acc", "localization", "miou", "recall", "precision")
    assert better == (any(word in outcome for word in words) and "distance" not in outcome)


def test_an_unknown_outcome_names_the_known_ones() -> None:
    with pytest.raises(
        UserError,
        match=r"'top2'; choose from .*auc, .*balanced_accuracy, .*train_top1.*also with best_, ",
    ) as caught:
        effects([], {}, {}, "top2")
    assert caught.value.exit_code == 2
    with pytest.raises(UserError, match=r"'test_log_loss' \('test_loss' is the name\); choose"):
        require_outcome("test_log_loss")
    # Of a network that is evaluated beside its average there are the metrics of epochs alone.
    with pytest.raises(UserError, match="no outcome is called 'raw_auc_ovr'"):
        require_outcome("raw_auc_ovr")
    require_outcome("top1")
    require_outcome("loss", multi_label=True)
    wrong = (("best_map", False), ("f1", False), ("top1", True), ("test_ece", True))
    for name, multi_label in wrong:
        with pytest.raises(
            UserError, match=f"outcome '{name}' is not defined for images with .*choose from .*loss"
        ):
            require_outcome(name, multi_label)
        require_outcome(name, not multi_label)
    for name, classes in (("auc", 3), ("test_auc", 1), ("best_top5", 5)):
        with pytest.raises(UserError, match=f"'{name}' is not defined for {classes} classes"):
            require_outcome(name, False, classes)
    require_outcome("auc", False, 2)


def test_pairs_are_the_seeds_that_both_have() -> None:
    cells = runs({"full": [91.0, None, 92.0, 95.0], "-mixup": [90.0, 80.0, 90.0, math.nan]})
    del cells[MODEL, "full"][0]
    cells[MODEL, "full"][7] = {"top1": 94.0}
    cells[MODEL, "-mixup"][7] = {"top1": 91.0}
    (effect,) = effects([leave_one_out(["mixup"])], cells, {})
    assert (effect.pairs, effect.delta) == (2, 2.5)  # seeds 2 and 7


def test_a_trick_without_effect_says_why() -> None:
    notes = [
        Note("no_effect", "label_smoothing", "other"),
        Note("choice", "mixup", "mixup has no effect: these are words of another kind"),
        Note("no_effect", "mixup", "alpha = 0 mixes nothing"),
    ]
    same = mixup_effect(FULL, FULL, notes=notes)
    assert same.notes == (EffectNote(kind="no_effect", reason="alpha = 0 mixes nothing"),)
    assert (same.note, same.status) == ("no effect: alpha = 0 mixes nothing", "no_effect")
    assert (same.delta, same.pairs) == (0.0, 5)
    other = mixup_effect(FULL, WITHOUT, notes=notes)
    assert (other.note, other.verdict) == ("no effect: alpha = 0 mixes nothing", "helps")
    single = mixup_effect([91.0], [90.0], notes=notes)
    assert (
        single.note
        == "no effect: alpha = 0 mixes nothing; one pair: an interval needs at least two"
    )
    assert mixup_effect(FULL, WITHOUT, notes=notes[:2]).note is None


def test_the_status_of_an_effect() -> None:
    assert mixup_effect(FULL, WITHOUT).status == "measured"
    assert mixup_effect([91.0], [90.0]).status == "measured"
    assert mixup_effect([91.0], []).status == "no_pairs"
    assert mixup_effect([1.5e308], [-1.5e308]).status == "no_pairs"


def test_prices_are_paired_like_the_outcome() -> None:
    cells: dict[tuple[str, str], dict[int, dict[str, float | int | None]]] = {
        (MODEL, "full"): {
            0: {
                "top1": 91.0,
                "train_throughput": 90.0,
                "params": 12,
                "macs": 0,
                "peak_memory": None,
            },
            1: {
                "top1": 92.0,
                "train_throughput": 160.0,
                "params": 12,
                "macs": 5,
                "peak_memory": 5.0,
            },
        },
        (MODEL, "-mixup"): {
            0: {
                "top1": 90.0,
                "train_throughput": 100.0,
                "params": 10,
                "macs": 4,
                "peak_memory": 7.0,
            },
            1: {
                "top1": None,
                "train_throughput": 200.0,
                "params": 10,
                "macs": 4,
                "peak_memory": None,
            },
        },
    }
    (effect,) = effects([leave_one_out(["mixup"])], cells, {})
    assert effect.pairs == 1
    assert list(effect.cost) == [
        "train_throughput",
        "params",
        "macs",
    ]  # memory has no pair, the rest was not measured
    speed = effect.cost["train_throughput"]
    assert (speed["delta"], speed["pairs"]) == (-25.0, 2)
    assert speed["ratio"] == pytest.approx(math.sqrt(0.9 * 0.8))
    interval = stats.ttest_rel([90.0, 160.0], [100.0, 200.0]).confidence_interval(0.95)
    assert (speed["low"], speed["high"]) == pytest.approx((interval.low, interval.high))
    ratio = pytest.approx(1.2)
    assert effect.cost["params"] == {
        "delta": 2.0,
        "low": None,
        "high": None,
        "ratio": ratio,
        "pairs": 2,
    }
    assert effect.cost["macs"]["ratio"] is None  # of 0 over 4


def test_equal_prices_have_a_ratio_of_exactly_one() -> None:
    assert geometric_mean([(11_173_962.0, 11_173_962.0), (3.3, 3.3)]) == 1.0
    assert geometric_mean([]) is None
    assert geometric_mean([(1.7e308, 1e-300)]) is None


def test_plain_data_has_the_keys_of_the_contract_first() -> None:
    data = effect_to_dict(mixup_effect(FULL, WITHOUT))
    first = ["label", "model", "delta", "low", "high", "p", "pairs", "verdict", "cost"]
    rest = ["p_raw", "sd", "more_seeds", "bootstrap", "shapley", "note", "plus", "minus"]
    levels = ["level_without", "level_with"]
    assert list(data) == [*first, *rest, *levels, "status", "notes"]
    assert json.loads(json.dumps(data)) == data


@pytest.mark.parametrize(("full", "without"), [(FULL, WITHOUT), (FULL, FULL), (FULL, [])])
def test_an_effect_comes_back_from_plain_data(full: list[float], without: list[float]) -> None:
    notes = [Note("no_effect", "mixup", "alpha = 0 mixes nothing")]
    effect = mixup_effect(full * 2, without * 2, notes=notes)
    assert effect_from_dict(json.loads(json.dumps(effect_to_dict(effect))), "x") == effect


def test_importing_the_statistics_loads_nothing_heavy() -> None:
    heavy = ("torch", "scipy", "numpy")
    modules = "trickbag.study.analysis.effects, trickbag.study.analysis.power"
    code = f"import {modules}, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
