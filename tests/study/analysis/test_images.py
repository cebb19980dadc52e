"""Intervals for new seeds and new images: variance components, levels, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.study.synthetic_study import MODEL, factorial_layout, leave_one_out, runs
from trickbag.report.study.answer import answer
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.images import (
    components,
    differences_by_image,
    image_interval,
    squared_half_width,
)
from trickbag.study.analysis.statistics import summarise
from trickbag.study.records.effect import effect_from_dict, effect_to_dict

Scores = dict[tuple[str, int], NDArray[np.float64]]


def scored(scores: Scores, tricks: tuple[str, ...] = ("mixup",)) -> list[Effect]:
    """The effects of a leave-one-out study whose trials have these scores by image."""
    seeds = sorted({seed for _, seed in scores})
    labels = sorted({label for label, _ in scores})
    values = {label: [float(scores[label, s].mean()) for s in seeds] for label in labels}
    return effects(
        [leave_one_out(tricks)],
        runs(values),
        {},
        scores=lambda model, label, seed: scores.get((label, seed)) if model == MODEL else None,
    )


def drawn(rng: np.random.Generator, seeds: int, images: int, of_images: float = 0.0) -> Scores:
    """Scores of `full` and `-mixup`; the difference varies by image with this deviation."""
    by_image = rng.normal(size=images)
    shift = 1.0 + of_images * (by_image - by_image.mean())
    rows = {}
    for seed in range(seeds):
        rows["-mixup", seed] = rng.normal(size=images)
        rows["full", seed] = rows["-mixup", seed] + shift + 0.1 * rng.normal(size=images)
    return rows


tables = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(
        st.just(seed), st.integers(2, 6), st.integers(2, 8), st.sampled_from([0.0, 0.3, 3.0])
    )
)


def table_of(drawn_shape: tuple[int, int, int, float]) -> NDArray[np.float64]:
    seed, seeds, images, size = drawn_shape
    rng = np.random.default_rng(seed)
    table: NDArray[np.float64] = (
        rng.normal(size=(seeds, images))
        + size * rng.normal(size=(seeds, 1))
        + size * rng.normal(size=images)
    )
    return table


@settings(max_examples=50, deadline=None)
@given(tables)
def test_components_are_those_of_a_two_way_analysis_of_variance(
    shape: tuple[int, int, int, float],
) -> None:
    table = table_of(shape)
    seeds, images = table.shape
    mean = table.mean()
    of_seeds = images * sum((row.mean() - mean) ** 2 for row in table) / (seeds - 1)
    of_images = seeds * sum((row.mean() - mean) ** 2 for row in table.T) / (images - 1)
    residual = sum(
        (table[s, i] - table[s].mean() - table[:, i].mean() + mean) ** 2
        for s in range(seeds)
        for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    parts = components(table)
    cells = seeds * images
    assert parts.mean == pytest.approx(mean)
    assert parts.of_seeds == pytest.approx(of_seeds / cells)
    assert parts.of_images == pytest.approx(max(of_images - residual, 0) / cells, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(tables)
def test_an_interval_for_new_images_holds_that_for_new_seeds_and_agrees_with_its_p(
    shape: tuple[int, int, int, float],
) -> None:
    table = table_of(shape)
    of_seeds = summarise(table.mean(1).tolist(), float(np.abs(table).max()))
    interval = image_interval(table, float(np.abs(table).max()))
    assert interval is not None
    assert of_seeds.low is not None
    assert of_seeds.high is not None
    assert interval.low <= of_seeds.low + 1e-9
    assert interval.high >= of_seeds.high - 1e-9
    assert interval.p_raw >= (of_seeds.p or 0) - 1e-9
    assert (interval.p_raw < 0.05) == (interval.low > 0 or interval.high < 0)
    # At its p the interval ends at zero.
    parts = components(table)
    ended = squared_half_width(parts, *table.shape, interval.p_raw)
    assert ended == pytest.approx(float(parts.mean) ** 2, rel=1e-6)


@pytest.mark.parametrize(("seeds", "images"), [(2, 300), (3, 300), (5, 25), (10, 100)])
@pytest.mark.parametrize("of_images", [0.0, 1.0])
def test_the_interval_holds_the_truth(seeds: int, images: int, of_images: float) -> None:
    rng = np.random.default_rng((seeds, images))
    studies = 300
    table = rng.normal(size=(studies, seeds, images)) + of_images * rng.normal(
        size=(studies, 1, images)
    )
    table += 0.1 * rng.normal(size=(studies, seeds, 1))
    parts = components(table)
    held = parts.mean**2 <= squared_half_width(parts, seeds, images)
    # 93 %, less what chance does to 300 studies.
    assert held.mean() >= 0.93 - 3 * np.sqrt(0.95 * 0.05 / studies)


def test_an_interval_of_many_seeds_and_images_agrees_with_the_pigeonhole_bootstrap() -> None:
    """Source: Owen 2007, "The pigeonhole bootstrap"."""
    rng = np.random.default_rng(3)
    seeds, images, draws = 20, 200, 2000
    table = rng.normal(size=(seeds, images)) + 2 * rng.normal(size=images)
    table += 0.3 * rng.normal(size=(seeds, 1))
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws)
    of_images = rng.multinomial(images, np.full(images, 1 / images), draws)
    means = ((of_seeds @ table) * of_images).sum(1) / (seeds * images)
    low, high = np.quantile(means, [0.025, 0.975])
    interval = image_interval(table, 1.0)
    assert interval is not None
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.12)


def test_what_holds_for_new_seeds_need_not_hold_for_new_images() -> None:
    (effect,) = scored(drawn(np.random.default_rng(0), seeds=5, images=20, of_images=8.0))
    assert effect.verdict == "helps"
    assert effect.verdict_images == "undetermined"
    assert effect.images is not None
    assert effect.low is not None
    assert effect.high is not None
    assert effect.images.low < effect.low < effect.high < effect.images.high
    assert "mixup is not settled for new images" in answer([effect])


def test_where_both_hold_the_answer_says_nothing_of_images() -> None:
    (effect,) = scored(drawn(np.random.default_rng(0), seeds=5, images=200))
    assert effect.verdict == effect.verdict_images == "helps"
    assert effect.images is not None
    assert effect.images.images == 200
    assert "images" not in answer([effect])


def test_entries_are_read_as_they_were_written_and_those_of_before_have_no_interval() -> None:
    (effect,) = scored(drawn(np.random.default_rng(0), seeds=3, images=50))
    data = effect_to_dict(effect)
    assert effect_from_dict(data, "here") == effect
    names = ("images", "low_images", "high_images", "p_images", "p_images_raw", "verdict_images")
    for name in names:
        del data[name]
    before = effect_from_dict(data, "here")
    assert before.images is None
    assert before.verdict_images is None
    assert before.delta == effect.delta
    assert before.verdict == effect.verdict


def test_images_without_a_score_are_left_out_in_all_trials() -> None:
    scores = drawn(np.random.default_rng(0), seeds=3, images=50)
    (complete,) = scored({key: row[5:] for key, row in scores.items()})
    scores["full", 1][:3] = np.nan
    scores["-mixup", 2][2:5] = np.nan
    table = differences_by_image(
        {"full": 1.0, "-mixup": -1.0}, range(3), MODEL, lambda _, label, s: scores[label, s]
    )
    assert table is not None
    assert table.shape == (3, 45)
    assert complete.images is not None
    interval = image_interval(table, 1.0)
    assert interval is not None
    assert interval.low == pytest.approx(complete.images.low)


def test_a_trial_without_scores_leaves_the_interval_out_and_a_note_says_so() -> None:
    scores = drawn(np.random.default_rng(0), seeds=3, images=50)
    kept = {key: row for key, row in scores.items() if key != ("full", 1)}
    values = {label: [float(scores[label, s].mean()) for s in range(3)] for label, _ in scores}
    (effect,) = effects(
        [leave_one_out(["mixup"])],
        runs(values),
        {},
        scores=lambda _, label, seed: kept.get((label, seed)),
    )
    assert effect.images is None
    assert effect.verdict_images is None
    assert [note.kind for note in effect.notes] == ["no_image_scores"]
    assert effect.p is not None


def test_the_differences_of_a_factorial_are_those_of_its_effects() -> None:
    rng = np.random.default_rng(5)
    layout = factorial_layout("ab")
    labels = [variant.label for variant in layout.variants]
    scores = {(label, s): rng.normal(size=30) for label in labels for s in range(4)}
    values = {label: [float(scores[label, s].mean()) for s in range(4)] for label in labels}
    for effect in effects(
        [layout], runs(values), {}, scores=lambda _, label, seed: scores[label, seed]
    ):
        assert effect.images is not None
        assert effect.delta is not None
        middle = (effect.images.low + effect.images.high) / 2
        assert middle == pytest.approx(effect.delta)


def test_holm_adjusts_the_family_of_images_and_none_is_below_that_of_seeds() -> None:
    rng = np.random.default_rng(1)
    tricks = ("mixup", "cutmix", "ema")
    scores: Scores = {}
    for seed in range(4):
        scores["full", seed] = rng.normal(size=100)
        for i, trick in enumerate(tricks):
            scores[f"-{trick}", seed] = scores["full", seed] - 0.2 * i + rng.normal(size=100)
    raw = []
    for effect in scored(scores, tricks):
        assert effect.images is not None
        assert effect.p_images is not None
        assert effect.p_images >= max(effect.images.p_raw, effect.p or 0)
        raw.append(effect.images.p_raw)
    least = min(scored(scores, tricks), key=lambda e: e.images.p_raw if e.images else 1)
    assert least.p_images == pytest.approx(min(1, 3 * min(raw)))
