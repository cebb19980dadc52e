"""A study that takes out one trick at a time."""

from __future__ import annotations

from tests.study.designs.layouts import TINY, by_label, names, recipe_of, rows
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.warmup import Warmup


def test_leave_one_out() -> None:
    layout = LeaveOneOut().layout(TINY, "resnet50")
    assert {variant.label: names(variant.recipe) for variant in layout.variants} == {
        "full": ("warmup", "label_smoothing", "mixup"),
        "-warmup": ("label_smoothing", "mixup"),
        "-label_smoothing": ("warmup", "mixup"),
        "-mixup": ("warmup", "label_smoothing"),
    }
    assert rows(layout) == [(name, name, "full", f"-{name}") for name in TINY.trick_names]
    assert recipe_of(layout, "full").id == TINY.id
    some = LeaveOneOut(tricks=("mixup", "warmup")).layout(TINY, "resnet50")
    assert list(by_label(some)) == ["full", "-mixup", "-warmup"]


def test_leave_one_out_with_levels() -> None:
    texts = ("mixup.alpha=0.1, 0.10,1", "mixup.lam=pair", "mixup.alpha=1.0", "warmup.epochs=2")
    layout = LeaveOneOut(levels=texts).layout(TINY, "resnet50")
    assert rows(layout) == [
        ("warmup", "warmup", "full", "-warmup"),
        ("warmup.epochs=2", "warmup", "warmup.epochs=2", "-warmup"),
        ("label_smoothing", "label_smoothing", "full", "-label_smoothing"),
        ("mixup", "mixup", "full", "-mixup"),
        ("mixup.alpha=0.1", "mixup", "mixup.alpha=0.1", "-mixup"),
        ("mixup.alpha=1", "mixup", "mixup.alpha=1", "-mixup"),
        ("mixup.lam=pair", "mixup", "mixup.lam=pair", "-mixup"),
    ]
    assert recipe_of(layout, "mixup.alpha=0.1").tricks == (
        Warmup(),
        LabelSmoothing(),
        Mixup(alpha=0.1),
    )
    assert recipe_of(layout, "mixup.lam=pair").tricks == (
        Warmup(),
        LabelSmoothing(),
        Mixup(alpha=0.3, lam="pair"),
    )
    assert recipe_of(layout, "warmup.epochs=2").tricks == (
        Warmup(epochs=2.0),
        LabelSmoothing(),
        Mixup(alpha=0.3),
    )
    same = LeaveOneOut(levels=("mixup.alpha=0.3",)).layout(TINY, "resnet50")
    assert recipe_of(same, "mixup.alpha=0.3").id == recipe_of(same, "full").id
