"""Studies that are refused before a trial runs, and where a study is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import trickbag as tb
from tests.builders.studies import LimitedExecutor, two_trick_study
from tests.builders.teachers import passing_teacher
from trickbag.errors import UserError
from trickbag.study.study import Study
from trickbag.tricks.distillation import Distillation


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return two_trick_study(pictures)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": 0}, "seeds = 0: a study needs at least 1"),
        ({"retries": -1}, "retries = -1"),
        ({"shard": (3, 2)}, "shard = 3/2"),
        ({"outcome": "top2"}, "top2"),
        ({"models": ("resnet19",)}, "no model 'resnet19'"),
        ({"models": ("resnet18", "resnet18")}, "named twice"),
    ],
)
def test_studies_that_cannot_be(study: Study, fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(study, **fields)


def test_several_labels_have_an_outcome_of_their_own(study: Study) -> None:
    recipe = study.recipe.set("data.multi_label", "true").set("data.source", "labels.csv")
    assert (Study(recipe=study.recipe).outcome, Study(recipe=recipe).outcome) == ("top1", "map")
    with pytest.raises(
        UserError, match="outcome 'top1' is not defined for images with several labels"
    ):
        Study(recipe=recipe, outcome="top1")


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ("auc", "outcome 'auc' is not defined for 3 classes; choose from .*balanced_accuracy"),
        ("test_macro_f1", "outcome 'test_macro_f1' is of a test part, and .* has none"),
        ("best_loss", "outcome 'best_loss' is not recorded: .*choose from best_top1"),
    ],
)
def test_an_outcome_that_the_data_leave_undefined(
    study: Study, tmp_path: Path, outcome: str, message: str
) -> None:
    asked_for = dataclasses.replace(study, outcome=outcome)
    with pytest.raises(UserError, match=message):
        asked_for.run(LimitedExecutor(limit=0), tmp_path / "study")


def test_different_answers_do_not_go_into_one_file(study: Study) -> None:
    teacher = str(passing_teacher())

    def distilled(*levels: str, **settings: Any) -> None:
        recipe = study.recipe.plus(Distillation(teacher=(teacher,), **settings))
        Study(
            recipe=recipe, design=tb.LeaveOneOut(tricks=("distillation",), levels=levels)
        ).trial_plan({}, "data")

    with pytest.raises(
        UserError, match=r"distillation.cache = a\.arrow: with view=replay .* leave cache out"
    ):
        distilled(view="replay", cache="a.arrow")
    with pytest.raises(
        UserError, match=r"distillation.cache = a\.arrow: with view=replay .* leave cache out"
    ):
        distilled("distillation.view=replay", view="centre", cache="a.arrow")
    with pytest.raises(
        UserError,
        match=r"cache = a\.arrow: levels with other teachers, or another top.* leave cache",
    ):
        distilled("distillation.top=1,2", view="centre", cache="a.arrow")
    distilled("distillation.top=1,2", view="centre")
    distilled("distillation.form=kl", view="centre", cache="a.arrow")
    distilled(view="replay")


def test_the_default_folder_is_the_same_for_what_extends_a_study(study: Study) -> None:
    more = dataclasses.replace(
        study, seeds=9, design=tb.LeaveOneOut(), models=("resnet18_d",), outcome="loss"
    )
    assert more.default_folder() == study.default_folder()
    assert (
        dataclasses.replace(study, design=tb.OneAtATime()).default_folder()
        != study.default_folder()
    )
    other = study.recipe.set("training.lr", "0.2")
    assert dataclasses.replace(study, recipe=other).default_folder() != study.default_folder()
