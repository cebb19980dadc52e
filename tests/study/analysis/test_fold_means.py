"""Effects on folds: means over seeds, the corrected variance, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.study.synthetic_study import MODEL, factorial_layout, leave_one_out, yates
from trickbag.study.analysis.effect import Effect
from trickbag.study.analysis.effects import effects
from trickbag.study.analysis.outcomes import Metrics
from trickbag.study.analysis.power import detectable
from trickbag.study.analysis.statistics import standard_error, summarise
from trickbag.study.records.effect import effect_from_dict, effect_to_dict
from trickbag.study.units import Folds, FoldSeed, Unit

Runs = Mapping[tuple[str, str], Mapping[Unit, Metrics]]


def on_folds(values: Mapping[str, np.ndarray]) -> Runs:
    """Finished trials by values (splits, folds, seeds); NaN is a trial that failed."""
    return {
        (MODEL, label): {
            FoldSeed(*map(int, unit)): {"top1": float(value)}
            for unit, value in np.ndenumerate(table)
            if not np.isnan(value)
        }
        for label, table in values.items()
    }


def of_one_trick(table: np.ndarray, folds: Folds, margin: float | None = None) -> Effect:
    runs = on_folds({"full": 60 + table, "-mixup": np.full_like(table, 60)})
    (effect,) = effects([leave_one_out(["mixup"])], runs, {}, margin=margin, folds=folds)
    return effect


@given(
    st.integers(2, 10), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**31), st.floats(0, 3)
)
def test_the_interval_is_that_of_the_formula(
    count: int, splits: int, seeds: int, seed: int, shift: float
) -> None:
    table = shift + np.random.default_rng(seed).normal(size=(splits, count, seeds))
    folds = Folds(count=count, splits=splits)
    effect = of_one_trick(table, folds)
    means = table.mean(2).ravel()
    n = count * splits
    error = math.sqrt((1 / n + 1 / (count - 1)) * means.var(ddof=1))
    assert (effect.pairs, effect.more_seeds) == (n, None)
    assert effect.delta == pytest.approx(means.mean())
    assert effect.low is not None
    assert effect.high is not None
    assert effect.p_raw is not None
    half = stats.t.ppf(0.975, n - 1) * error
    assert (effect.low, effect.high) == pytest.approx((means.mean() - half, means.mean() + half))
    p = 2 * stats.t.sf(abs(means.mean()) / error, n - 1)
    assert effect.p_raw == pytest.approx(p, rel=1e-6, abs=1e-12)
    assert effect.of_folds is not None
    assert [each.delta for each in effect.of_folds.differences] == pytest.approx(means)
    assert {each.seeds for each in effect.of_folds.differences} == {seeds}
    assert (effect.images, effect.verdict_images, effect.bootstrap) == (None, None, None)


def test_seeds_on_the_same_folds_are_no_new_splits() -> None:
    table = np.random.default_rng(3).normal(size=(1, 5, 1))
    once = of_one_trick(table, Folds(count=5))
    often = of_one_trick(np.repeat(table, 4, axis=2), Folds(count=5))
    assert (often.low, often.high, often.pairs) == pytest.approx((once.low, once.high, once.pairs))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12), st.floats(0.01, 1))
def test_without_overlap_it_is_the_plain_interval(values: list[float], overlap: float) -> None:
    plain, corrected = summarise(values, 100.0), summarise(values, 100.0, overlap)
    if plain.p is None or plain.sd is None:
        return
    assert standard_error(plain.sd, len(values)) == plain.sd / math.sqrt(len(values))
    assert corrected.low is not None
    assert plain.low is not None
    assert corrected.p is not None
    assert corrected.low < plain.low
    assert corrected.p >= plain.p


def test_the_margin_is_tested_with_the_same_variance() -> None:
    table = np.random.default_rng(4).normal(size=(1, 5, 2)) / 10
    effect = of_one_trick(table, Folds(count=5), margin=0.5)
    means = table.mean(2).ravel()
    error = math.sqrt((1 / 5 + 1 / 4) * means.var(ddof=1))
    p = stats.t.sf((0.5 - abs(means.mean())) / error, 4)
    assert effect.equivalence is not None
    assert effect.equivalence.p_raw == pytest.approx(p)
    assert effect.verdict == "equivalent"


def test_folds_that_lack_trials_are_named() -> None:
    table = np.random.default_rng(5).normal(size=(1, 4, 2))
    table[0, 1, 1] = np.nan
    table[0, 3] = np.nan
    effect = of_one_trick(table, Folds(count=4))
    assert effect.pairs == 3
    assert effect.note == "1 of 4 folds have no pair, 1 of 4 folds have fewer than 2 seeds"
    assert effect.of_folds is not None
    assert [each.fold for each in effect.of_folds.differences] == [0, 1, 2]


def test_a_factorial_has_its_effects_by_fold() -> None:
    rng = np.random.default_rng(6)
    layout = factorial_layout(["a", "b"])
    tables = {variant.label: rng.normal(size=(2, 3, 2)) for variant in layout.variants}
    estimated = effects([layout], on_folds(tables), {}, folds=Folds(count=3, splits=2))
    signs = dict(zip(tables, yates(2), strict=True))
    by_hand = sum(sign[0] * tables[label] / 2 for label, sign in signs.items())
    assert estimated[0].pairs == 6
    assert estimated[0].of_folds is not None
    assert estimated[0].of_folds.means == pytest.approx(np.asarray(by_hand).mean(2).ravel())
    assert estimated[0].shapley is not None
    assert estimated[0].shapley[0] == pytest.approx(estimated[0].delta)


def test_it_is_read_as_it_was_written() -> None:
    effect = of_one_trick(np.random.default_rng(7).normal(size=(2, 3, 2)), Folds(count=3, splits=2))
    data = effect_to_dict(effect)
    assert (data["folds"], data["splits"], data["seeds"]) == (3, 2, 2)
    assert [(e["split"], e["fold"]) for e in data["fold_differences"]] == [
        (split, fold) for split in range(2) for fold in range(3)
    ]
    assert effect_from_dict(data, "here") == effect


def test_overlap_hides_small_effects() -> None:
    plain, folds = detectable(5, 1.0), detectable(5, 1.0, overlap=0.25)
    assert plain is not None
    assert folds == pytest.approx(plain * math.sqrt((1 / 5 + 1 / 4) * 5))
