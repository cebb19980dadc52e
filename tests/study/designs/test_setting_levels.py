"""Settings of a recipe as levels: what each arm has, and which arms cannot be compared."""

from __future__ import annotations

import dataclasses

import pytest

from tests.study.designs.layouts import SMALL, TIMM, TINY, Leans, by_label, recipe_of, rows
from trickbag.data.config import DataConfig
from trickbag.errors import UserError
from trickbag.models.config import model_config
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe, differences
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.levels import LevelledDesign
from trickbag.study.designs.named import read_design
from trickbag.study.designs.one_at_a_time import OneAtATime
from trickbag.study.designs.setting_levels import require_comparable, setting_levels
from trickbag.study.designs.views import VIEW
from trickbag.study.plan import StudyPlan

LEVELS = {
    "training.lr": ("0.01,3e-1", ["0.01", "0.3"]),
    "training.optimizer.kind": ("adamw", ["adamw"]),
    "training.optimizer": (
        "adamw:beta1=0.8,sgd:momentum=0.5,timm:name=lamb",
        ["adamw:beta1=0.8", "sgd:momentum=0.5", "timm:name=lamb"],
    ),
    "training.clip_norm": ("1.0,none", ["1"]),
    "data.image_size": ("48,48x96", ["48", "[48,96]"]),
    "data.crop_area": ("[0.5,1],[0.25,1]", ["[0.5,1]", "[0.25,1]"]),
    "schedule.decay": ("cosine,poly:power=1,step", ["cosine", "poly:power=1"]),
    "model": ("resnet18,timm:resnet18", ["resnet18", "timm:resnet18"]),
    "model.stem": ("deep", ["deep"]),
}
"""Texts of levels, and the values that their labels name; the recipe's own value is none."""


@pytest.mark.parametrize("path", LEVELS)
def test_an_arm_is_the_full_recipe_at_another_value(path: str) -> None:
    text, values = LEVELS[path]
    layout = LeaveOneOut(levels=(f"{path}={text}",)).layout(TINY, "resnet50")
    labels = [f"{path}={value}" for value in values]
    assert rows(layout) == [(label, "", label, "full") for label in labels]
    for label, level in zip(labels, setting_levels(labels, TINY), strict=True):
        arm = recipe_of(layout, label)
        assert arm == level.recipe.replace(name=label), "a label is a level"
        assert arm.tricks == TINY.tricks
        changed = differences(arm.identity(), TINY.identity())
        assert changed
        assert all(each.startswith(path.partition(".")[0]) for each in changed)


def test_levels_stand_beside_tricks_in_every_design() -> None:
    levels = ("training.lr=0.5", "mixup.alpha=1")
    named = ("label_smoothing", "mixup")
    layout = LeaveOneOut(tricks=named, levels=levels).layout(TINY, "resnet50")
    assert rows(layout)[-2:] == [
        ("mixup.alpha=1", "mixup", "mixup.alpha=1", "-mixup"),
        ("training.lr=0.5", "", "training.lr=0.5", "full"),
    ]
    added = OneAtATime(tricks=named, levels=levels).layout(TINY, "resnet50")
    assert rows(added)[-1] == ("training.lr=0.5", "", "+training.lr=0.5", "bare")
    assert recipe_of(added, "+training.lr=0.5").tricks == ()
    steps = Cumulative(tricks=named, levels=levels).layout(TINY, "resnet50")
    assert rows(steps)[-1] == ("training.lr=0.5", "", "+training.lr=0.5", "+mixup")
    assert recipe_of(steps, "+training.lr=0.5").trick_names == named


def test_beside_settings_alone_no_trick_is_studied_and_a_note_says_so() -> None:
    design = LeaveOneOut(levels=("training.lr=0.5",))
    assert design.studied(TINY) == ()
    (note,) = design.layout(TINY, "resnet50").notes
    assert "no trick is studied: --tricks names some" in note.reason
    assert LeaveOneOut(levels=("training.lr=0.5", "mixup.alpha=1")).studied(TINY) == TINY.tricks
    plain = Recipe(name="plain")
    assert rows(design.layout(plain, "resnet50")) == [
        ("training.lr=0.5", "", "training.lr=0.5", "full")
    ]
    assert read_design(design.to_dict()) == design


def test_the_recipes_own_value_is_no_arm_and_lengths_are_said() -> None:
    layout = LeaveOneOut(levels=("training.epochs=120,60",)).layout(TINY, "resnet50")
    assert [label for label, *_ in rows(layout)] == ["training.epochs=60"]
    reasons = [note.reason for note in layout.notes]
    assert reasons[0].startswith("training.epochs=120 is the recipe's own value")
    assert reasons[1].startswith("levels of training.epochs train for different lengths")


def test_a_level_that_a_trick_overrules_does_not_apply() -> None:
    layout = LeaveOneOut(levels=("schedule.decay=poly",)).layout(SMALL, "resnet18")
    variant = by_label(layout)["schedule.decay=poly"]
    assert variant.recipe is None
    assert variant.reason == "cosine_decay sets schedule.decay itself, whatever its value is"
    # Without the trick the level is an arm.
    bare = OneAtATime(levels=("schedule.decay=poly",)).layout(SMALL, "resnet18")
    assert recipe_of(bare, "+schedule.decay=poly").schedule.decay.kind == "poly"


def test_what_fits_the_recipes_network_need_not_fit_that_of_a_level() -> None:
    recipe = Recipe(name="leaning", model=model_config("resnet50_d"), tricks=(Leans(),))
    layout = LeaveOneOut(levels=(f"model=resnet50,{TIMM}",)).layout(recipe, "resnet50_d")
    assert by_label(layout)["model=resnet50"].reason == "leans needs a pool in the shortcut"
    # What was found out by building the recipe's network says nothing of another.
    unfit = {"mixup": "not on this one"}
    layout = LeaveOneOut(levels=("model=resnet18",)).layout(TINY, "odd", inapplicable=unfit)
    assert "mixup" not in recipe_of(layout, "full").trick_names
    assert "mixup" not in recipe_of(layout, "model=resnet18").trick_names


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(DataConfig)])
def test_every_setting_of_data_is_compared_or_refused_with_a_reason(field: str) -> None:
    if field in VIEW and field != "workers":
        require_comparable(f"data.{field}")
        return
    with pytest.raises(UserError, match=rf"arms cannot differ in data\.{field}: ") as error:
        require_comparable(f"data.{field}")
    assert "\n" not in str(error.value)


def test_settings_of_training_that_are_no_arms() -> None:
    refused = []
    for field in dataclasses.fields(TrainConfig):
        try:
            require_comparable(f"training.{field.name}")
        except UserError:
            refused.append(field.name)
    assert refused == ["keep", "device", "threads", "init", "patience", "time_limit"]


@pytest.mark.parametrize(
    ("design", "says"),
    [
        (LeaveOneOut(levels=("training.lr",)), "must be of the form PATH=VALUE"),
        (LeaveOneOut(levels=("training.lr=0.1,,1",)), "must be of the form PATH=VALUE"),
        (LeaveOneOut(levels=("training.lr=x",)), "training.lr = 'x': must be a number above 0"),
        (LeaveOneOut(levels=("training.ler=1",)), "training has no setting 'ler'; it has: "),
        (LeaveOneOut(levels=("schedule.decay=sine",)), "schedule.decay = 'sine': must be one of"),
        (LeaveOneOut(levels=("data.split_seed=1",)), "the same images; of data, arms can differ"),
        (LeaveOneOut(levels=("seed=1,2",)), "seeds are what arms are paired by; choose how many"),
        (LeaveOneOut(levels=("task.kind=detection",)), "arms of other tasks have no outcome"),
        (LeaveOneOut(levels=("training.init=runs/a",)), "is a backbone; --backbone LABEL=RUN"),
        (Cumulative(levels=("training.threads=2",)), "all arms of a study run alike; set it"),
        (OneAtATime(levels=("training.lr=0.1",)), "what the recipe has: there is nothing to"),
    ],
)
def test_levels_that_cannot_be(design: LevelledDesign, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        StudyPlan(recipe=TINY, design=design)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_networks_are_chosen_in_one_way() -> None:
    with pytest.raises(UserError, match="level model=resnet18 and models = resnet50 both choose"):
        StudyPlan(recipe=TINY, design=LeaveOneOut(levels=("model=resnet18",)), models=("resnet50",))
