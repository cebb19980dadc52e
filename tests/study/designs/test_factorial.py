"""Factorial studies, whole or in fractions; how fractions are chosen is in test_fractional.py."""

from __future__ import annotations

import pytest

from tests.study.designs.layouts import SMALL, TINY, names, recipe_of
from trickbag import recipes
from trickbag.errors import UserError
from trickbag.study.designs.factorial import Factorial
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.mixup import Mixup


def test_factorial() -> None:
    layout = Factorial(tricks=("mixup", "warmup")).layout(TINY, "resnet50")
    assert layout.factors == ("mixup", "warmup")
    assert (layout.generators, layout.aliases, layout.contrasts, layout.notes) == ((), (), (), ())
    assert {variant.label: names(variant.recipe) for variant in layout.variants} == {
        "-mixup-warmup": ("label_smoothing",),
        "+mixup-warmup": ("label_smoothing", "mixup"),
        "-mixup+warmup": ("warmup", "label_smoothing"),
        "+mixup+warmup": ("warmup", "label_smoothing", "mixup"),
    }
    assert layout.variants[0].label == "-mixup-warmup"
    assert recipe_of(layout, "+mixup+warmup").id == TINY.id
    added = Factorial(tricks=("cosine_decay", "mixup")).layout(TINY, "resnet50")
    assert recipe_of(added, "+cosine_decay+mixup").tricks == (*TINY.tricks, CosineDecay())


def test_factorial_of_tricks_that_exclude_each_other() -> None:
    layout = Factorial(tricks=("cosine_decay", "step_decay")).layout(TINY, "resnet50")
    assert [variant.recipe is None for variant in layout.variants] == [False, False, False, True]
    assert "exclude each other" in layout.variants[3].reason
    kept = Factorial(tricks=("step_decay", "mixup")).layout(SMALL, "resnet18")
    assert {v.label for v in kept.variants if v.recipe is None} == {
        "+step_decay-mixup",
        "+step_decay+mixup",
    }


def test_fraction_of_a_factorial() -> None:
    some = ("warmup", "label_smoothing", "mixup", "cosine_decay")
    layout = Factorial(tricks=some[:3], resolution=3).layout(TINY, "resnet50")
    assert layout.generators == ("mixup = warmup*label_smoothing",)
    assert layout.aliases == (
        ("warmup", "label_smoothing*mixup"),
        ("label_smoothing", "warmup*mixup"),
        ("mixup", "warmup*label_smoothing"),
    )
    assert [variant.label for variant in layout.variants] == [
        "-warmup-label_smoothing+mixup",
        "+warmup-label_smoothing-mixup",
        "-warmup+label_smoothing-mixup",
        "+warmup+label_smoothing+mixup",
    ]
    assert recipe_of(layout, "-warmup-label_smoothing+mixup").tricks == (Mixup(alpha=0.3),)
    half = Factorial(tricks=some, resolution=4).layout(TINY, "resnet50")
    assert half.generators == ("cosine_decay = warmup*label_smoothing*mixup",)
    assert half.aliases == (
        ("warmup*label_smoothing", "mixup*cosine_decay"),
        ("warmup*mixup", "label_smoothing*cosine_decay"),
        ("warmup*cosine_decay", "label_smoothing*mixup"),
    )
    full = Factorial(tricks=some, resolution=5).layout(TINY, "resnet50")
    assert full == Factorial(tricks=some).layout(TINY, "resnet50")
    assert len(full.variants) == 16


def test_sizes_of_factorials() -> None:
    assert len(Factorial().layout(SMALL, "resnet18").variants) == 256
    assert len(Factorial(tricks=SMALL.trick_names).layout(SMALL, "resnet18").variants) == 512
    assert len(Factorial(resolution=3).layout(SMALL, "resnet18").variants) == 16
    bag = recipes.bag_of_tricks()
    assert len(Factorial(tricks=bag.trick_names[:10]).layout(bag, "resnet50_a").variants) == 1024
    with pytest.raises(
        UserError,
        match=r"11 tricks has 2,048 variants, .* take a fraction \(--resolution 5 has 128\)",
    ):
        Factorial(tricks=bag.trick_names).layout(bag, "resnet50_a")
    assert len(Factorial(resolution=5).layout(bag, "resnet50_a").variants) == 128
    twelve = (*bag.trick_names, "layer_decay")
    assert len(Factorial(tricks=twelve, resolution=4).layout(bag, "resnet50_a").variants) == 32
