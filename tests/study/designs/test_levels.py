"""Tricks by reference, their levels, and designs that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickbag import tricks
from trickbag.errors import UserError
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.design import Design
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.named import read_design
from trickbag.study.designs.one_at_a_time import OneAtATime
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.step_decay import StepDecay

if TYPE_CHECKING:
    pass

from tests.study.designs.layouts import MODULE, TINY, Leans, Strength, recipe_of, rows


def test_tricks_by_reference() -> None:
    reference = f"{MODULE}:Leans"
    recipe = Recipe(model=model_config("resnet50_d"), tricks=(Leans(), Mixup()))
    layout = LeaveOneOut(tricks=(reference,)).layout(recipe, "resnet50_d")
    assert rows(layout) == [("leans", "leans", "full", "-leans")]
    added = OneAtATime(tricks=(reference, "trickbag.tricks.mixup:Mixup")).layout(
        recipe.without("leans"), "resnet50_d"
    )
    assert [variant.label for variant in added.variants] == ["bare", "+leans", "+mixup"]
    with pytest.raises(UserError, match="mixup is named 2 times"):
        OneAtATime(tricks=("mixup", "trickbag.tricks.mixup:Mixup")).layout(recipe, "resnet50_d")


def test_levels_of_every_type() -> None:
    recipe = Recipe(tricks=(Strength(by=3), StepDecay()))
    texts = (
        f"{MODULE}:Strength.by=1,2",
        "strength.enabled=yes,true,off",
        "strength.until=none,2,0.5,1e-7",
        "strength.word=a.b",
        "step_decay.at=[0.5],[0.3,0.6],0.5,(0.3, 0.6)",
    )
    layout = LeaveOneOut(levels=texts).layout(recipe, "resnet50")
    labels = [contrast.label for contrast in layout.contrasts]
    assert labels == [
        "strength",
        "strength.by=1",
        "strength.by=2",
        "strength.enabled=true",
        "strength.enabled=false",
        "strength.until=none",
        "strength.until=2",
        "strength.until=0.5",
        "strength.until=1e-07",
        "strength.word=a.b",
        "step_decay",
        "step_decay.at=[0.5]",
        "step_decay.at=[0.3,0.6]",
    ]
    assert recipe_of(layout, "step_decay.at=[0.3,0.6]").tricks == (
        Strength(by=3),
        StepDecay(at=(0.3, 0.6)),
    )
    assert recipe_of(layout, "strength.until=none").tricks == recipe.tricks
    again = LeaveOneOut(levels=tuple(label for label in labels if "." in label)).layout(
        recipe, "resnet50"
    )
    assert again == layout, "a label is a level"


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=6))
@settings(deadline=None)
def test_levels_keep_their_values(values: list[float]) -> None:
    text = f"label_smoothing.smoothing={','.join(map(repr, values))}"
    layout = OneAtATime(tricks=("label_smoothing",), levels=(text,)).layout(TINY, "resnet50")
    settings_of_levels = [
        recipe_of(layout, contrast.plus).tricks for contrast in layout.contrasts[1:]
    ]
    assert settings_of_levels == [
        (LabelSmoothing(smoothing=value),) for value in dict.fromkeys(values)
    ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: LeaveOneOut(tricks=("cutmix",)),
            "no trick 'cutmix' in the recipe tiny; it has: label_smoothing, ",
        ),
        (
            lambda: LeaveOneOut(tricks=("cosine_decay",)),
            "no trick 'cosine_decay' in the recipe tiny",
        ),
        (
            lambda: LeaveOneOut(tricks=("mixup", "mixup")),
            "mixup is named 2 times among the tricks to study",
        ),
        (lambda: OneAtATime(tricks=("mixupp",)), "no trick 'mixupp'; did you mean mixup"),
        (lambda: OneAtATime(tricks=()), "one-at-a-time.tricks is empty: name at least one trick"),
        (
            lambda: OneAtATime(tricks=(f"{MODULE}:Strength",)),
            "lacks the setting 'by', which has no default; put the",
        ),
        (
            lambda: Cumulative(tricks="mixup"),  # type: ignore[arg-type]
            "cumulative.tricks = 'mixup': must be a list of text",
        ),
        (
            lambda: Cumulative(levels=("mixup",)),
            "level 'mixup': must be of the form TRICK.FIELD=VALUE",
        ),
        (lambda: Cumulative(levels=("mixup=0.1",)), "must be of the form"),
        (lambda: Cumulative(levels=("mixup.alpha=",)), "must be of the form"),
        (lambda: Cumulative(levels=("mixup.alpha=0.1,,0.2",)), "must be of the form"),
        (lambda: Cumulative(levels=("mixup.=0.1",)), "must be of the form"),
        (lambda: Cumulative(levels=(".alpha=0.1",)), "must be of the form"),
        (
            lambda: Cumulative(levels=("mixup.alfa=0.1",)),
            "tricks.mixup has no setting 'alfa'; it has: alpha, lam",
        ),
        (lambda: Cumulative(levels=("mixup.alpha=x",)), "alpha = 'x': must be a number above 0"),
        (lambda: Cumulative(levels=("mixup.alpha=-1",)), "alpha = -1.0: must be a number above 0"),
        (lambda: Cumulative(levels=("mixup.alpha=nan",)), "must be a number above 0"),
        (lambda: Cumulative(levels=("mixup.alpha.more=1",)), "has no settings of its own"),
        (
            lambda: Cumulative(tricks=("warmup",), levels=("mixup.alpha=1",)),
            "level 'mixup.alpha=1': mixup is not studied; name it in --tricks, or take warmup",
        ),
        (lambda: LeaveOneOut(levels=("cosine_decay.x=1",)), "cosine_decay is not studied"),
        (
            lambda: Factorial(tricks=("mixup",)),
            "a factorial takes 2 to 12 tricks, and here are 1: name others with",
        ),
        (
            lambda: Factorial(tricks=tuple(list(tricks.builtin())[:13])),
            "takes 2 to 12 tricks, and here are 13",
        ),
        (
            lambda: Factorial(resolution=6),  # type: ignore[arg-type]
            "factorial.resolution = 6: must be one of 3, 4, 5 or none",
        ),
        (
            lambda: read_design({"kind": "latin-square"}),
            "design.kind = 'latin-square': must be one of backbones, cumulative, ",
        ),
        (
            lambda: read_design({"kind": ["factorial"]}),
            "design.kind = ['factorial']: must be one of",
        ),
        (lambda: read_design([]), "design.kind = None: must be one of"),
        (
            lambda: read_design({"kind": "factorial", "levels": []}),
            "design has no setting 'levels'",
        ),
    ],
)
def test_wrong_designs_name_value_and_way_out(make: Callable[[], Design], says: str) -> None:
    with pytest.raises(UserError) as error:
        make().layout(TINY, "resnet50")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
