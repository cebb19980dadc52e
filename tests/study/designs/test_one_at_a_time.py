"""A study that adds one trick at a time to the bare recipe."""

from __future__ import annotations

from tests.study.designs.layouts import TINY, by_label, recipe_of, rows
from trickbag.recipe import Recipe
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.one_at_a_time import OneAtATime
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup


def test_one_at_a_time() -> None:
    studied = ("mixup", "cosine_decay", "label_smoothing")
    layout = OneAtATime(tricks=studied, levels=("mixup.alpha=0.1",)).layout(TINY, "resnet50")
    assert {
        label: variant.recipe and variant.recipe.tricks
        for label, variant in by_label(layout).items()
    } == {
        "bare": (),
        "+mixup": (Mixup(alpha=0.3),),
        "+mixup.alpha=0.1": (Mixup(alpha=0.1),),
        "+cosine_decay": (CosineDecay(),),
        "+label_smoothing": (LabelSmoothing(),),
    }
    assert rows(layout) == [
        ("mixup", "mixup", "+mixup", "bare"),
        ("mixup.alpha=0.1", "mixup", "+mixup.alpha=0.1", "bare"),
        ("cosine_decay", "cosine_decay", "+cosine_decay", "bare"),
        ("label_smoothing", "label_smoothing", "+label_smoothing", "bare"),
    ]
    assert [c.trick for c in OneAtATime().layout(TINY, "resnet50").contrasts] == list(
        TINY.trick_names
    )
    assert OneAtATime(tricks=studied).studied(TINY) == (
        Mixup(alpha=0.3),
        CosineDecay(),
        LabelSmoothing(),
    )
    assert LeaveOneOut().studied(TINY) == TINY.tricks
    alone = OneAtATime(tricks=("mixup",)).layout(Recipe(), "resnet50")
    assert recipe_of(alone, "+mixup").tricks == (Mixup(),)
