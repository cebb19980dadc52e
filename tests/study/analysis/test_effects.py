from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.study.synthetic_study import MODEL, leave_one_out, runs
from trickbag.errors import Note, UserError
from trickbag.streams import stream
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.notes import EffectNote
from trickbag.study.analysis.outcomes import OUTCOMES, Cells, Metrics, require_outcome
from trickbag.study.analysis.statistics import (
    bootstrap_interval,
    geometric_mean,
    holm,
    number,
    summarise,
)
from trickbag.study.records.effect import effect_from_dict, effect_to_dict

FULL = [91.2, 90.4, 92.1, 90.9, 91.5]
WITHOUT = [89.9, 89.8, 90.2, 90.1, 89.7]


def mixup_effect(
    full: Sequence[float | None],
    without: Sequence[float | None],
    outcome: str = "top1",
    notes: Sequence[Note] = (),
) -> Effect:
    cells = runs({"full": full, "-mixup": without}, outcome)
    by_seed = dict.fromkeys(range(len(full)), notes)
    (effect,) = effects([leave_one_out(["mixup"])], cells, {(MODEL, "full"): by_seed}, outcome)
    return effect


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
    words = (*words, "consistency", "box_acc", "localization")
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


def sample(mean: float, sd: float, n: int) -> list[float]:
    """Numbers of exactly this mean and standard deviation."""
    steps = np.arange(n) - (n - 1) / 2
    return [float(x) for x in mean + sd * steps / steps.std(ddof=1)]


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 1.0), (-0.3, 0.7), (0.08, 1.0)])
def test_so_many_more_seeds_settle_an_effect_and_one_fewer_do_not(mean: float, sd: float) -> None:
    def study(n: int) -> list[Effect]:
        # two effects that stay as they are, and a third that is settled already
        values = {
            "full": [0.0] * n,
            "-a": sample(-mean, sd, n),
            "-b": sample(mean / 4, sd, n),
            "-c": sample(9, 0.1, n),
        }
        return effects([leave_one_out(["a", "b", "c"])], runs(values), {})

    now = study(4)
    assert [e.verdict for e in now] == ["undetermined", "undetermined", "hurts"]
    needed = [e.more_seeds for e in now]
    assert needed[0] is not None
    assert needed[0] > 1
    assert needed[2] is None
    assert study(4 + needed[0])[0].verdict == ("helps" if mean > 0 else "hurts")
    assert study(3 + needed[0])[0].verdict == "undetermined"
    weak = stats.t.sf(abs(mean / 4) / sd * np.sqrt(1004), 1003) * 2
    assert (needed[1] is None) == (weak >= 0.05)
    if needed[1] is not None:
        assert study(4 + needed[1])[1].verdict != "undetermined"
        assert study(3 + needed[1])[1].verdict == "undetermined"


def test_an_effect_waits_for_those_before_it() -> None:
    # p = 0.0255 and 0.0277: the second would pass at its own step, but Holm stops at the first.
    n = 8
    values = {"full": [0.0] * n, "-a": sample(-1, 1.0, n), "-b": sample(-0.98, 1.0, n)}
    all_effects = effects([leave_one_out(["a", "b"])], runs(values), {})
    assert all_effects[0].p_raw is not None
    assert all_effects[1].p_raw is not None
    assert 0.025 < all_effects[0].p_raw < all_effects[1].p_raw < 0.05
    assert [e.verdict for e in all_effects] == ["undetermined", "undetermined"]
    assert all_effects[0].more_seeds == all_effects[1].more_seeds
    assert (all_effects[0].more_seeds or 0) >= 1


def test_no_number_of_seeds_settles_a_difference_of_zero() -> None:
    effect = mixup_effect([91.0, 92.0], [92.0, 91.0])
    assert (effect.delta, effect.p, effect.more_seeds) == (0.0, 1.0, None)


def test_eight_pairs_have_a_bootstrap_interval() -> None:
    rng = np.random.default_rng(3)
    full, without = rng.normal(91, 1, 9), rng.normal(90, 1, 9)
    effect = mixup_effect(full.tolist(), without.tolist())
    reference = stats.bootstrap(
        (full - without,),
        np.mean,
        n_resamples=9999,
        method="BCa",
        random_state=stream(0, "bootstrap:mixup"),
    ).confidence_interval
    assert effect.bootstrap == pytest.approx((reference.low, reference.high))
    assert effect.low is not None
    assert effect.high is not None
    assert effect.delta is not None
    assert effect.bootstrap is not None
    assert effect.bootstrap[0] < effect.delta < effect.bootstrap[1]
    assert mixup_effect(full[:7].tolist(), without[:7].tolist()).bootstrap is None
    assert mixup_effect(full[:8].tolist(), without[:8].tolist()).bootstrap is not None
    assert mixup_effect([90.0] * 9, [89.0] * 9).bootstrap is None
    bootstrap_interval.cache_clear()
    assert mixup_effect(full.tolist(), without.tolist()) == effect


def test_the_bootstrap_falls_back_to_percentiles() -> None:
    assert bootstrap_interval((2.0,) * 8, "equal") == (2.0, 2.0)  # no acceleration without spread


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
