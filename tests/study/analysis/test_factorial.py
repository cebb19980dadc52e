from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.study.analysis.test_effect_ranges import NUMBERS, finite
from tests.study.synthetic_study import MODEL, cell_label, factorial_layout, runs, yates
from trickbag.errors import Note
from trickbag.recipes import small
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.least_squares import Model, shapley, signs_of, terms_of
from trickbag.study.analysis.notes import EffectNote
from trickbag.study.analysis.outcomes import Cells
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.layout import Layout
from trickbag.study.records.effect import effect_from_dict, effect_to_dict

ABC = ("a", "b", "c")


def by_label(
    layout: Layout, cells: Cells, notes: Mapping[str, Sequence[Note]] | None = None
) -> dict[str, Effect]:
    """The effects by label; `notes` are those of a variant's first trial."""
    by_trial = {(MODEL, label): {0: variant} for label, variant in (notes or {}).items()}
    return {effect.label: effect for effect in effects([layout], cells, by_trial)}


def cells_of(layout: Layout, rows_CS: Sequence[Sequence[float]], metric: str = "top1") -> Cells:
    return runs({v.label: [*row] for v, row in zip(layout.variants, rows_CS, strict=True)}, metric)


def test_the_pilot_plant_of_box_hunter_and_hunter() -> None:
    # Statistics for Experimenters, chapter 5: yield (g) against temperature, concentration and
    # catalyst, in standard order, and the effects that the book prints.
    layout = factorial_layout(("T", "C", "K"))
    effect_of = by_label(
        layout, cells_of(layout, [[y] for y in (60.0, 72, 54, 68, 52, 83, 45, 80)])
    )
    book = {"T": 23.0, "C": -5.0, "K": 1.5, "T*C": 1.5, "T*K": 10.0, "C*K": 0.0}
    assert list(effect_of) == list(book)
    assert {label: effect.delta for label, effect in effect_of.items()} == pytest.approx(
        book, abs=1e-12
    )
    assert {effect.note for effect in effect_of.values()} == {
        "one pair: an interval needs at least two"
    }
    assert all((effect.plus, effect.minus) == (None, None) for effect in effect_of.values())


def test_effects_are_tested_over_seeds() -> None:
    rng = np.random.default_rng(1)
    layout = factorial_layout(ABC)
    signs = np.array(yates(3))
    values = 90 + signs @ np.array([0.8, -0.3, 0.0]) + 0.2 * signs[:, 0] * signs[:, 1]
    rows = values[:, None] + rng.normal(0, 0.4, (8, 6))
    effect_of = by_label(layout, cells_of(layout, rows.tolist()))
    raw = []
    for label, columns in [
        *((c, [i]) for i, c in enumerate(ABC)),
        ("a*b", [0, 1]),
        ("a*c", [0, 2]),
        ("b*c", [1, 2]),
    ]:
        column = signs[:, columns].prod(1)
        by_hand = rows[column > 0].mean(0) - rows[column < 0].mean(0)
        test = stats.ttest_1samp(by_hand, 0)
        interval = test.confidence_interval(0.95)
        effect = effect_of[label]
        assert effect.delta == pytest.approx(by_hand.mean())
        assert effect.sd == pytest.approx(by_hand.std(ddof=1))
        assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))
        assert effect.p_raw == pytest.approx(test.pvalue)
        assert effect.pairs == 6
        raw.append(test.pvalue)
    order = np.argsort(raw)
    adjusted = np.minimum(1, np.maximum.accumulate(np.array(raw)[order] * np.arange(6, 0, -1)))
    assert [list(effect_of.values())[i].p for i in order] == pytest.approx(adjusted.tolist())
    assert (effect_of["a"].verdict, effect_of["b"].verdict) == ("helps", "hurts")


def test_an_interaction_is_half_the_difference_of_an_effect_with_and_without_the_other() -> None:
    layout = factorial_layout(("a", "b"))
    effect_of = by_label(layout, cells_of(layout, [[90.0], [91.0], [90.5], [93.5]]))
    assert effect_of["a*b"].delta == pytest.approx(0.5 * ((93.5 - 90.5) - (91.0 - 90.0)))
    assert effect_of["a"].delta == pytest.approx(0.5 * ((93.5 - 90.5) + (91.0 - 90.0)))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_shapley_values_are_means_over_all_orders(k: int) -> None:
    rng = np.random.default_rng(k)
    signs = yates(k)
    rows = rng.normal(90, 2, (2**k, 4))
    place = {frozenset(i for i in range(k) if row[i] > 0): c for c, row in enumerate(signs)}
    expected = np.zeros((k, 4))
    orders = list(itertools.permutations(range(k)))
    for order in orders:
        for n, i in enumerate(order):
            expected[i] += (
                rows[place[frozenset(order[: n + 1])]] - rows[place[frozenset(order[:n])]]
            )
    expected /= len(orders)
    assert np.allclose(shapley(signs, rows), expected)

    layout = factorial_layout("abcde"[:k])
    shuffled = [int(i) for i in rng.permutation(2**k)]
    effect_of = by_label(
        layout, dict([*cells_of(layout, rows.tolist()).items()][i] for i in shuffled)
    )
    for i, effect in enumerate(list(effect_of.values())[:k]):
        interval = stats.ttest_1samp(expected[i], 0).confidence_interval(0.95)
        assert effect.shapley == pytest.approx((expected[i].mean(), interval.low, interval.high))
    total = sum(effect.shapley[0] for effect in effect_of.values() if effect.shapley is not None)
    assert total == pytest.approx((rows[-1] - rows[0]).mean())
    assert all(effect.shapley is None for effect in list(effect_of.values())[k:])


def test_shapley_of_one_seed_has_no_interval() -> None:
    layout = factorial_layout(("a", "b"))
    effect_of = by_label(layout, cells_of(layout, [[90.0], [91.0], [90.5], [93.5]]))
    assert effect_of["a"].shapley is not None
    assert effect_of["a"].shapley[0] == pytest.approx(0.5 * (1.0 + 3.0))
    assert effect_of["a"].shapley[1:] == (None, None)


def test_a_fraction_says_what_it_cannot_tell_apart() -> None:
    # 2^(3-1) with c = a*b: the textbook's half fraction of resolution III.
    cells = [(a, b, a * b) for b, a in itertools.product((-1, 1), repeat=2)]
    layout = factorial_layout(ABC, cells, aliases=(("a", "b*c"), ("b", "a*c"), ("c", "a*b")))
    rows = [[90.0, 90.3], [91.0, 91.1], [90.5, 90.1], [93.5, 94.0]]
    effect_of = by_label(layout, cells_of(layout, rows))
    outcomes = np.array(rows)
    for i, trick in enumerate(ABC):
        column = np.array(cells)[:, i]
        assert effect_of[trick].delta == pytest.approx(
            (outcomes[column > 0].mean(0) - outcomes[column < 0].mean(0)).mean()
        )
        assert effect_of[trick].shapley is None
    for group in layout.aliases:
        assert effect_of[group[0]].note == f"aliased with {group[1]}"
        assert effect_of[group[1]].note == f"aliased with {group[0]}"
        assert (effect_of[group[1]].delta, effect_of[group[1]].p, effect_of[group[1]].pairs) == (
            None,
            None,
            0,
        )
        assert effect_of[group[1]].verdict == "undetermined"


@pytest.mark.parametrize(
    ("base", "generators"),
    [
        (3, [(0, 1, 2)]),
        (4, [(0, 1, 2), (1, 2, 3)]),
        (3, [(0, 1), (0, 2), (1, 2), (0, 1, 2)]),
        (4, [(0, 1, 2, 3)]),
    ],
)
def test_aliases_are_the_terms_with_equal_columns(
    base: int, generators: list[tuple[int, ...]]
) -> None:
    cells = [
        (*row, *(math.prod(row[i] for i in word) for word in generators)) for row in yates(base)
    ]
    k = base + len(generators)
    model = Model.of(tuple(cells), k)
    columns = {term: np.array(cells)[:, list(term)].prod(1) for term in terms_of(k)}
    for term, column in columns.items():
        equal = [
            t for t, other in columns.items() if t != term and abs(column @ other) == len(cells)
        ]
        assert sorted(model.aliases[term]) == sorted(equal)
        assert (term in model.kept) == all(
            (len(other), other) > (len(term), term) for other in equal
        )
    assert np.linalg.matrix_rank(np.stack([np.ones(len(cells)), *columns.values()])) == 1 + len(
        model.kept
    )


@pytest.mark.parametrize("resolution", [None, 3, 4, 5])
def test_the_designs_own_aliases_are_those_of_its_cells(
    resolution: Literal[3, 4, 5] | None,
) -> None:
    recipe = small()
    layout = Factorial(resolution=resolution).layout(recipe, MODEL)
    assert len(layout.factors) >= 4
    rng = np.random.default_rng(0)
    cells = runs(
        {v.label: rng.normal(90, 1, 3).tolist() for v in layout.variants if v.recipe is not None}
    )
    effect_of = by_label(layout, cells)
    for group in layout.aliases:
        assert effect_of[group[0]].delta is not None
        assert effect_of[group[0]].note == f"aliased with {', '.join(group[1:])}"
        for label in group[1:]:
            others = ", ".join(other for other in group if other != label)
            assert (effect_of[label].delta, effect_of[label].note) == (
                None,
                f"aliased with {others}",
            )
    alone = set(effect_of) - {label for group in layout.aliases for label in group}
    assert all(effect_of[label].note is None and effect_of[label].pairs == 3 for label in alone)
    assert bool(layout.aliases) == (resolution in (3, 4))


def test_a_fractions_estimate_is_the_sum_of_the_alias_group() -> None:
    # 2^(4-1), d = a*b*c: the interaction a*b cannot be told from c*d, and their effects add up.
    cells = [(*row, math.prod(row)) for row in yates(3)]
    layout = factorial_layout(
        "abcd", cells, aliases=(("a*b", "c*d"), ("a*c", "b*d"), ("a*d", "b*c"))
    )
    signs = np.array(cells)
    values = 90 + 0.5 * signs[:, 0] * signs[:, 1] + 0.25 * signs[:, 2] * signs[:, 3] + signs[:, 3]
    effect_of = by_label(layout, cells_of(layout, values[:, None].tolist()))
    expected = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 2.0, "a*b": 1.5, "a*c": 0.0, "a*d": 0.0}
    deltas = {
        label: effect.delta for label, effect in effect_of.items() if effect.delta is not None
    }
    assert deltas == pytest.approx(expected, abs=1e-12)
    for group in layout.aliases:
        assert (effect_of[group[0]].note or "").startswith(f"aliased with {group[1]}; ")
        assert effect_of[group[1]].note == f"aliased with {group[0]}"


def exclusive(reason: str = "mixup and cutmix exclude each other") -> Layout:
    """Three tricks of which the first two are never together."""
    factors = ("mixup", "cutmix", "ema")
    both = [cell_label(row, factors) for row in yates(3) if row[0] > 0 and row[1] > 0]
    return factorial_layout(factors, reasons=dict.fromkeys(both, reason))


def test_tricks_that_exclude_each_other_are_measured_without_the_other() -> None:
    rng = np.random.default_rng(5)
    layout = exclusive()
    values = {
        v.label: rng.normal(90, 1, 3).tolist() for v in layout.variants if v.recipe is not None
    }
    effect_of = by_label(layout, runs(values))
    at = {label: np.array(row) for label, row in values.items()}
    without = [
        at["+mixup-cutmix+ema"] - at["-mixup-cutmix+ema"],
        at["+mixup-cutmix-ema"] - at["-mixup-cutmix-ema"],
    ]
    assert effect_of["mixup"].delta == pytest.approx(np.mean(without))
    assert effect_of["mixup"].note == "without cutmix: no variant that applies has both"
    assert effect_of["cutmix"].note == "without mixup: no variant that applies has both"
    assert effect_of["ema"].note is None
    assert effect_of["mixup*cutmix"].note == "does not apply: mixup and cutmix exclude each other"
    assert (effect_of["mixup*cutmix"].delta, effect_of["mixup*cutmix"].pairs) == (None, 0)
    # half the difference of mixup's effect with and without ema, where cutmix is off
    assert effect_of["mixup*ema"].delta == pytest.approx(np.mean(0.5 * (without[0] - without[1])))
    assert all(effect.shapley is None for effect in effect_of.values())


def test_a_trick_that_never_applies_leaves_the_others() -> None:
    labels = [cell_label(row, ABC) for row in yates(3)]
    layout = factorial_layout(ABC, reasons={label: "no slot" for label in labels if "+b" in label})
    rows = {label: [90.0 + i, 91.0 + 2 * i] for i, label in enumerate(labels) if "-b" in label}
    effect_of = by_label(layout, runs(rows))
    for label in ("b", "a*b", "b*c"):
        assert (effect_of[label].delta, effect_of[label].note) == (None, "does not apply: no slot")
    half = factorial_layout(("a", "c"))
    same = by_label(half, runs({label.replace("-b", ""): [*row] for label, row in rows.items()}))
    for label in ("a", "c", "a*c"):
        assert effect_of[label].delta == pytest.approx(same[label].delta)
        assert effect_of[label].p_raw == pytest.approx(same[label].p_raw)
    assert effect_of["a"].note == "without b: no variant that applies has both"


def test_a_study_of_which_nothing_applies_is_a_list_of_reasons() -> None:
    layout = factorial_layout(
        ("a", "b"), reasons={cell_label(row, ("a", "b")): "no slot" for row in yates(2)}
    )
    all_effects = effects([layout], {}, {})
    assert [effect.note for effect in all_effects] == ["does not apply: no slot"] * 3


def test_only_seeds_with_every_cell_count() -> None:
    layout = factorial_layout(("a", "b"))
    rows: dict[str, list[float | None]] = {
        v.label: [90.0 + i, 91.0 + i * i, 92.0, 93.0] for i, v in enumerate(layout.variants)
    }
    rows["+a+b"][2] = None
    cells = runs(rows)
    del cells[MODEL, "-a-b"][3]
    effect_of = by_label(layout, cells)
    assert [effect.pairs for effect in effect_of.values()] == [2, 2, 2]
    assert effect_of["a"].delta == pytest.approx(
        np.mean([(91 + 93 - 90 - 92) / 2, (92 + 100 - 91 - 95) / 2])
    )
    assert effect_of["a"].note == "2 seeds left out as incomplete"
    del cells[MODEL, "+a-b"][0]
    single = by_label(layout, cells)["a"]
    assert single.note == "3 seeds left out as incomplete; one pair: an interval needs at least two"


def test_no_complete_seed_says_why() -> None:
    layout = factorial_layout(("a", "b"))
    empty = effects([layout], {}, {})
    assert {effect.note for effect in empty} == {"no finished trial of -a-b, +a-b, -a+b and 1 more"}
    apart = {(MODEL, v.label): {i: {"top1": 90.0}} for i, v in enumerate(layout.variants)}
    incomplete = effects([layout], apart, {})
    assert {effect.note for effect in incomplete} == {
        "no seed is finished in every variant: 4 left out as incomplete"
    }
    undefined = {(MODEL, v.label): {0: {"top1": None}} for v in layout.variants}
    assert {e.note for e in effects([layout], undefined, {})} == {
        "no seed has top1 defined in every variant"
    }
    assert {(effect.delta, effect.pairs) for effect in empty + incomplete} == {(None, 0)}


def test_a_trick_without_effect_says_in_how_many_variants() -> None:
    layout = factorial_layout(("a", "b"))
    cells = cells_of(layout, [[90.0, 91.0], [90.0, 91.0], [92.0, 93.5], [92.0, 93.5]])
    reason = "batch_size = 256 is the reference"
    note = Note("no_effect", "a", reason)
    some = by_label(layout, cells, {"+a-b": [Note("choice", None, "x"), note]})
    assert (some["a"].note or "").startswith(f"no effect in 1 of 2 variants: {reason}")
    every = by_label(layout, cells, {label: [note] for label in ("+a-b", "+a+b", "-a+b")})
    assert every["a"].note == f"no effect: {reason}"
    assert (every["a"].delta, every["a"].sd, every["a"].status) == (0.0, 0.0, "no_effect")
    assert (every["b"].note, every["b"].status) == (None, "measured")


def test_a_trick_without_effect_in_some_variants_is_measured() -> None:
    # `a` changes nothing alone, but something beside `b`: its main effect is half of that.
    layout = factorial_layout(("a", "b"))
    cells = cells_of(layout, [[90.0, 91.2], [90.0, 91.2], [91.0, 92.1], [94.0, 95.14]])
    partly = by_label(layout, cells, {"+a-b": [Note("no_effect", "a", "b is off")]})["a"]
    assert partly.delta == pytest.approx(1.51)
    assert partly.status == "partly_no_effect"
    assert partly.notes == (
        EffectNote(kind="partly_no_effect", reason="b is off", variants=(1, 2)),
    )
    assert partly.note == "no effect in 1 of 2 variants: b is off"
    assert effect_from_dict(json.loads(json.dumps(effect_to_dict(partly))), "x") == partly
    nothing_finished = by_label(layout, {}, {"+a-b": [Note("no_effect", "a", "b is off")]})["a"]
    assert nothing_finished.status == "no_pairs"


def test_the_status_of_effects_that_are_not_measured() -> None:
    labels = [cell_label(row, ABC) for row in yates(3)]
    layout = factorial_layout(ABC, reasons={label: "no slot" for label in labels if "+b" in label})
    rows = {label: [90.0 + i, 91.0 + 2 * i] for i, label in enumerate(labels) if "-b" in label}
    status = {label: effect.status for label, effect in by_label(layout, runs(rows)).items()}
    assert {label for label in status if status[label] == "does_not_apply"} == {"b", "a*b", "b*c"}
    assert {label for label in status if status[label] == "measured"} == {"a", "c", "a*c"}
    fraction = factorial_layout(
        ABC, [(a, b, a * b) for b, a in itertools.product((-1, 1), repeat=2)]
    )
    aliased = by_label(fraction, cells_of(fraction, [[90.0], [91.0], [90.5], [93.5]]))
    assert (aliased["a"].status, aliased["b*c"].status) == ("measured", "no_pairs")


def test_prices_of_tricks() -> None:
    layout = factorial_layout(("a", "b"))
    cells = cells_of(layout, [[90.0], [91.0], [90.5], [93.5]])
    speed = {
        "-a-b": [100.0, 110.0],
        "+a-b": [80.0, 99.0],
        "-a+b": [50.0, 55.0],
        "+a+b": [45.0, 40.0],
    }
    priced = {
        key: {
            seed: {**cells[key].get(seed, {}), "train_throughput": speed[key[1]][seed], "params": 7}
            for seed in (0, 1)
        }
        for key in cells
    }
    effect_of = by_label(layout, priced)
    cost = effect_of["a"].cost["train_throughput"]
    differences = [(80 + 45 - 100 - 50) / 2, (99 + 40 - 110 - 55) / 2]
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert cost["delta"] == pytest.approx(np.mean(differences))
    assert (cost["low"], cost["high"]) == pytest.approx((interval.low, interval.high))
    ratios = [80 / 100, 45 / 50, 99 / 110, 40 / 55]
    assert cost["ratio"] == pytest.approx(stats.gmean(ratios))
    assert cost["pairs"] == 2
    assert effect_of["a"].cost["params"] == {
        "delta": 0.0,
        "low": None,
        "high": None,
        "ratio": 1.0,
        "pairs": 2,
    }
    assert effect_of["a*b"].cost == {}
    assert effect_of["a"].pairs == 1


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=8, max_size=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_whatever_was_measured_the_numbers_are_finite(
    rows: list[list[float | None]], full: bool
) -> None:
    layout = factorial_layout(("mixup", "cutmix", "ema")) if full else exclusive()
    cells = {
        (MODEL, v.label): {s: {"top1": value, "macs": value} for s, value in enumerate(row)}
        for v, row in zip(layout.variants, rows, strict=True)
    }
    data = [effect_to_dict(effect) for effect in effects([layout], cells, {})]
    assert finite(data)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert all(effect["note"] or effect["p"] is not None for effect in data)
    turned = {key: dict(reversed(cells[key].items())) for key in reversed(list(cells))}
    assert [effect_to_dict(effect) for effect in effects([layout], turned, {})] == data


def test_huge_outcomes_do_not_overflow() -> None:
    layout = factorial_layout(("a", "b"))
    effect_of = by_label(
        layout,
        cells_of(layout, [[1e308, 1e308], [1.5e308, 1.2e308], [1e308, 1e308], [1.5e308, 1.3e308]]),
    )
    assert effect_of["a"].delta == pytest.approx(0.5 * (0.5e308 + 0.25e308))
    assert effect_of["a"].shapley is not None
    assert effect_of["a"].shapley[0] == pytest.approx(effect_of["a"].delta)


def test_labels_of_cells() -> None:
    assert signs_of("+a-b+c", ABC) == (1, -1, 1)
    assert signs_of("-x-y+x", ("x-y", "x")) == (-1, 1)
    for wrong in ("+a-b", "+a-b+c+d", "a-b+c", "+b-a+c", "full"):
        with pytest.raises(ValueError, match="is no cell of the factors a, b, c"):
            signs_of(wrong, ABC)


def test_the_largest_factorial_has_all_its_rows() -> None:
    factors = tuple("abcdefghij")
    layout = factorial_layout(factors)
    rng = np.random.default_rng(0)
    rows = rng.normal(90, 1, (1024, 3)) + 0.5 * np.array(yates(10))[:, [4]]
    effect_of = by_label(layout, cells_of(layout, rows.tolist()))
    assert len(effect_of) == 10 + 45
    signs = np.array(yates(10))
    expected = rows[signs[:, 4] > 0].mean(0) - rows[signs[:, 4] < 0].mean(0)
    assert effect_of["e"].delta == pytest.approx(expected.mean())
    assert effect_of["e"].shapley is not None
