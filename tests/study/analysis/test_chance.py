"""Variants at chance, and levels beside differences."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.study.synthetic_study import MODEL, factorial_layout, leave_one_out, runs
from trickbag.report.study.answer import answer
from trickbag.study.analysis.chance import (
    ConstantAnswer,
    chance_notes,
    constant_answer,
    proportion_low,
)
from trickbag.study.analysis.effects import effects
from trickbag.study.records.effect import effect_from_dict, effect_to_dict

DIGITS = {"val": constant_answer([36] * 10, 360)}
COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=30).filter(any)


@given(COUNTS)
def test_no_constant_answer_is_better(counts: list[int]) -> None:
    images = sum(counts)
    answer = constant_answer(counts, images)
    assert answer.values["top1"] == pytest.approx(100 * max(counts) / images)
    assert answer.values["loss"] == pytest.approx(stats.entropy(counts), abs=1e-12)
    # ln K is the loss of equal probabilities, which no frequencies make better.
    assert answer.values["loss"] <= math.log(len(counts)) + 1e-12
    assert answer.values.get("top5", 100) >= answer.values["top1"] - 1e-9
    assert answer.values["macro_f1"] <= answer.values["balanced_accuracy"] + 1e-9
    assert answer.balanced_images <= images + 1e-9


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(any))
def test_several_labels_an_image(counts: list[int]) -> None:
    answer = constant_answer(counts, 40, multi_label=True)
    shares = [count / 40 for count in counts if count]
    assert answer.values["map"] == pytest.approx(100 * sum(shares) / len(shares))
    expected = sum(stats.entropy([share, 1 - share]) for share in shares)
    assert answer.values["loss"] == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_wilsons(images: int, share: float) -> None:
    right = round(share * images)
    interval = stats.binomtest(right, images).proportion_ci(method="wilson")
    assert proportion_low(100 * right / images, images) == pytest.approx(
        100 * interval.low, abs=1e-9
    )


def test_a_part_without_images_says_nothing() -> None:
    nothing = {"val": constant_answer([0, 0], 0)}
    assert chance_notes(["full"], MODEL, runs({"full": [10.0]}), "top1", nothing) == []
    assert chance_notes(["full"], MODEL, runs({"full": [10.0]}), "top1", {}) == []


@pytest.mark.parametrize(
    ("values", "outcome", "labels"),
    [
        ([12.8, 10.0, 11.7], "top1", ("full",)),
        ([12.8, 10.0, 90.0], "top1", ("full",)),
        ([60.0, 80.0, 90.0], "top1", ()),
        # Few seeds that differ much are not at chance: each is judged by its images.
        ([50.0, 95.0], "top1", ()),
        ([12.8], "best_top1", ("full",)),
        ([12.8], "ece", ("full",)),
        ([12.8], "train_loss", ("full",)),
        ([12.8], "test_top1", ()),
    ],
)
def test_at_chance(values: list[float], outcome: str, labels: tuple[str, ...]) -> None:
    notes = chance_notes(["full", "-mixup"], MODEL, runs({"full": values}), outcome, DIGITS)
    assert [(note.kind, note.labels) for note in notes] == [
        ("at_chance", labels) for labels in [labels] if labels
    ]


def test_parts_and_metrics_of_their_own() -> None:
    test = {"test": constant_answer([90, 10], 100)}
    for metric, value, low in [
        ("test_top1", 92.0, True),
        ("test_top1", 99.0, False),
        ("test_balanced_accuracy", 60.0, True),
        ("test_balanced_accuracy", 95.0, False),
        ("test_loss", 0.4, True),
        ("test_loss", 0.2, False),
    ]:
        notes = chance_notes(["full"], MODEL, runs({"full": [value]}, metric), metric, test)
        assert bool(notes) == low, (metric, value)
    # With one of 10 images of a class, 92 % can be more than chance by a mean over classes.
    assert test["test"].balanced_images == pytest.approx(4 / (1 / 90 + 1 / 10))


def study(bare: float, mixup: float, loss: float) -> tuple[object, ...]:
    cells = {
        (MODEL, label): {seed: {"top1": top1 + seed, "loss": loss} for seed in range(3)}
        for label, top1 in (("full", mixup), ("-mixup", bare))
    }
    return tuple(effects([leave_one_out(["mixup"])], cells, {}, "top1", DIGITS))


def test_levels_stand_beside_the_difference() -> None:
    (effect,) = study(90.0, 92.0, 0.3)
    assert (effect.level_without, effect.level_with) == (91.0, 93.0)
    assert effect.delta == pytest.approx(effect.level_with - effect.level_without)
    assert not [note for note in effect.notes if note.labels]
    (effect,) = effects([leave_one_out(["mixup"])], runs({"full": [1.0]}), {})
    assert (effect.level_without, effect.level_with) == (None, None)


@given(st.lists(st.floats(0, 100), min_size=8, max_size=8))
def test_levels_of_a_full_factorial_differ_by_its_effects(values: list[float]) -> None:
    layout = factorial_layout(["a", "b"])
    labels = [variant.label for variant in layout.variants]
    cells = runs({label: values[2 * i : 2 * i + 2] for i, label in enumerate(labels)})
    for effect in effects([layout], cells, {}):
        if "*" in effect.label:
            assert (effect.level_with, effect.level_without) == (None, None)
            continue
        assert effect.level_with is not None
        assert effect.level_without is not None
        assert effect.delta == pytest.approx(effect.level_with - effect.level_without, abs=1e-9)


def test_what_the_answer_and_the_files_say() -> None:
    (effect,) = study(10.0, 80.0, 2.4)
    assert [note.kind for note in effect.notes if note.labels] == ["at_chance", "constant_loss"]
    assert "-mixup is at chance: top1 11; a constant answer has 10 (360 images)" in effect.note
    text = answer([effect])
    assert "-mixup is at chance" in text
    assert text.endswith("the loss of full is not below that of a constant answer.")
    assert effect_from_dict(effect_to_dict(effect), "x") == effect
    entry = effect_to_dict(effect)
    assert list(entry)[:9] == [
        *("label", "model", "delta", "low", "high", "p", "pairs", "verdict", "cost")
    ]
    assert (entry["level_without"], entry["level_with"]) == (11.0, 81.0)


def test_a_factorial_names_the_variants_at_chance() -> None:
    layout = factorial_layout(["a", "b"])
    levels = {"-a-b": 10.0, "+a-b": 11.0, "-a+b": 90.0, "+a+b": 91.0}
    cells = runs({label: [value, value + 1] for label, value in levels.items()})
    notes = [
        [note for note in effect.notes if note.kind == "at_chance"]
        for effect in effects([layout], cells, {}, "top1", DIGITS)
    ]
    assert [len(each) for each in notes] == [1, 1, 0]
    assert notes[0][0].labels == ("-a-b", "+a-b")


def test_an_effect_without_pairs_still_says_why() -> None:
    cells = runs({"full": [10.0]})
    (effect,) = effects([leave_one_out(["mixup"])], cells, {}, "top1", DIGITS)
    assert [note.kind for note in effect.notes] == ["no_pairs", "at_chance"]
    assert isinstance(DIGITS["val"], ConstantAnswer)
