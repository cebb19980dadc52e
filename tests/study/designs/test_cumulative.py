"""A study that adds one trick after the other to the bare recipe."""

from __future__ import annotations

import pytest

from tests.study.designs.layouts import TINY, by_label, names, recipe_of, rows
from trickbag.errors import UserError
from trickbag.recipe import Recipe
from trickbag.study.designs.cumulative import Cumulative
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.warmup import Warmup


def test_cumulative() -> None:
    layout = Cumulative(levels=("label_smoothing.smoothing=0.2",)).layout(TINY, "resnet50")
    assert {
        label: variant.recipe and variant.recipe.tricks
        for label, variant in by_label(layout).items()
    } == {
        "bare": (),
        "+warmup": (Warmup(),),
        "+label_smoothing": (Warmup(), LabelSmoothing()),
        "+label_smoothing.smoothing=0.2": (Warmup(), LabelSmoothing(smoothing=0.2)),
        "+mixup": (Warmup(), LabelSmoothing(), Mixup(alpha=0.3)),
    }
    assert rows(layout) == [
        ("warmup", "warmup", "+warmup", "bare"),
        ("label_smoothing", "label_smoothing", "+label_smoothing", "+warmup"),
        (
            "label_smoothing.smoothing=0.2",
            "label_smoothing",
            "+label_smoothing.smoothing=0.2",
            "+warmup",
        ),
        ("mixup", "mixup", "+mixup", "+label_smoothing"),
        ("all", "", "+mixup", "bare"),
    ]
    assert recipe_of(layout, "+mixup").id == TINY.id
    ordered = Cumulative(tricks=("mixup", "warmup")).layout(TINY, "resnet50")
    assert names(recipe_of(ordered, "+warmup")) == ("mixup", "warmup")


def test_cumulative_passes_over_what_excludes_and_goes_on() -> None:
    studied = ("cosine_decay", "step_decay", "mixup")
    layout = Cumulative(tricks=studied, levels=("step_decay.factor=0.2",)).layout(TINY, "resnet50")
    reason = "step_decay and cosine_decay exclude each other (both have the slot 'decay')"
    for label in ("+step_decay", "+step_decay.factor=0.2"):
        assert by_label(layout)[label].recipe is None
        assert by_label(layout)[label].reason == reason
    with pytest.raises(UserError) as error:
        Recipe(tricks=(CosineDecay(), StepDecay()))
    assert str(error.value).startswith(f"{reason}; ")
    assert names(recipe_of(layout, "+mixup")) == ("cosine_decay", "mixup")
    assert rows(layout) == [
        ("cosine_decay", "cosine_decay", "+cosine_decay", "bare"),
        ("step_decay", "step_decay", "+step_decay", "+cosine_decay"),
        ("step_decay.factor=0.2", "step_decay", "+step_decay.factor=0.2", "+cosine_decay"),
        ("mixup", "mixup", "+mixup", "+cosine_decay"),
        ("all", "", "+mixup", "bare"),
    ]
    alone = Cumulative(tricks=("cosine_decay", "step_decay")).layout(TINY, "resnet50")
    assert [row[0] for row in rows(alone)] == ["cosine_decay", "step_decay"], (
        "one step is all there is"
    )
