"""The design whose arms are whole recipes: what each trial has, and which cannot be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.study.designs.layouts import TINY, Leans, by_label, recipe_of
from trickbag.data.config import DataConfig
from trickbag.data.policies.policies import RandomPolicy
from trickbag.errors import UserError
from trickbag.models.config import model_config
from trickbag.models.task_config import DetectionConfig
from trickbag.recipe import Recipe, differences
from trickbag.settings import plain
from trickbag.study.designs.named import read_design
from trickbag.study.designs.recipes import Recipes, on_open_data_of
from trickbag.study.plan import StudyPlan

DEEP = Recipe(
    name="deep",
    model=model_config("resnet50"),
    tricks=(Leans(),),
    data=DataConfig(image_size=96, crop_area=(0.5, 1)),
)
LONG = TINY.set_all(
    {"training.epochs": "7", "training.lr": "0.3", "training.keep": "best"}
).replace(name="long")


def test_arms_are_whole_recipes_on_the_machine_of_the_study() -> None:
    plan = StudyPlan(recipe=TINY, design=Recipes(others=(LONG, LONG.replace(name="again"))))
    settled = plan.on_machine(threads=3, device="cpu")
    layout = settled.design.layout(settled.recipe, "resnet50")
    long = recipe_of(layout, "long")
    assert differences(long.identity(), LONG.identity()) == [
        'training.device ("cpu", not "auto")',
        "training.threads (3, not null)",
        'training.keep ("absent", not "best")',
    ]
    assert long.id == recipe_of(layout, "again").id, "one run, whatever it is called"
    assert recipe_of(layout, "tiny") == settled.recipe
    assert layout.notes == ()


def test_a_machine_that_an_arm_does_not_get_is_said() -> None:
    requested = LONG.set_all({"training.threads": "2", "training.device": "mps"})
    base = TINY.set_all({"training.threads": "1", "training.device": "cpu"})
    (note,) = Recipes(others=(requested, DEEP)).layout(base, "resnet50").notes
    assert note.reason == (
        "long: training.threads is 1, not 2 and training.device is cpu, not mps: all arms of a "
        "study run alike"
    )


def test_an_arm_with_a_trick_that_does_not_apply_does_not_apply() -> None:
    layout = Recipes(others=(DEEP, LONG)).layout(TINY, "resnet50")
    deep = by_label(layout)["deep"]
    assert deep.recipe is None
    assert deep.reason == "leans needs a pool in the shortcut"
    assert by_label(layout)["long"].recipe is not None


def test_networks_are_named_once() -> None:
    thin = TINY.replace(name="thin", model=model_config("resnet18"))
    design = Recipes(others=(DEEP, thin, thin.replace(name="thin again")))
    assert design.network(TINY) == "resnet50 and resnet18"


# Which images there are must be the same; how they are seen belongs to a recipe.
OTHER_DATA = {
    "source": "elsewhere",
    "image_root": "images",
    "val_source": "val",
    "image_column": "image",
    "label_column": "label",
    "group_column": "patient",
    "val_fraction": 0.3,
    "split_seed": 4,
    "multi_label": True,
    "label_separator": ",",
    "merge_labels": True,
    "na_labels": "class",
    "ignore_index": 9,
    "max_bad_fraction": 0.5,
    "outside": "refuse",
    "duplicates": "drop",
    "parts": ("train:a", "val:b"),
    "channels": (0,),
    "pixel_range": (0.0, 9.0),
    "max_pixels": 99,
    "streaming": True,
    "folds": 3,
    "fold": 1,
    "inner_folds": 3,
    "inner_fold": 1,
}
OTHER_VIEW = {
    "image_size": 64,
    "default_size": 32,
    "size_factor": 0.5,
    "crop_area": (0.5, 1.0),
    "crop_ratio": (1.0, 1.0),
    "mask_scale": (1.0, 1.0),
    "flip_prob": 0.0,
    "vertical_flip_prob": 0.5,
    "quarter_turns": True,
    "policy": RandomPolicy(),
    "views": 2,
    "repeat_epochs": 2,
    "class_power": 0.5,
    "augmentation_repeats": 2,
    "eval_crop": 0.9,
    "eval_ratio": 2.0,
    "mean": (1.0, 2.0, 3.0),
    "std": (1.0, 2.0, 3.0),
    "interpolation": "bicubic",
    "resize": "squash",
    "workers": 1,
    "worker_kind": "threads",
    "hold_images": False,
    "dct_scaling": True,
}
NEEDED = {
    "label_separator": {"multi_label": True},
    "views": {"policy": RandomPolicy()},
    "fold": {"folds": 3},
    "inner_fold": {"inner_folds": 3},
}
"""Settings that a setting needs."""


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(DataConfig)])
def test_every_setting_of_data_is_shared_or_is_about_how_images_are_seen(field: str) -> None:
    changes: dict[str, object] = {**OTHER_DATA, **OTHER_VIEW}
    changes = {field: changes[field], **NEEDED.get(field, {})}
    other = LONG.replace(data=dataclasses.replace(TINY.data, **changes))
    design = Recipes(others=(other,))
    if field in OTHER_DATA:
        with pytest.raises(UserError, match=rf"long and tiny are not of the same .*data\.{field}"):
            StudyPlan(recipe=TINY, design=design)
        # The folder of a study may be read where its data lie elsewhere.
        assert design.on_data_of(TINY).others[0].data == TINY.data
    else:
        StudyPlan(recipe=TINY, design=design)
        assert design.on_data_of(TINY) == design
        assert design.others[0].data != TINY.data


def test_what_a_recipe_leaves_open_is_taken_from_the_study() -> None:
    study = TINY.set_all({"data.source": "photos", "data.split_seed": "4"})
    open_data = LONG.replace(data=DataConfig(image_size=96))
    assert on_open_data_of(open_data, study).data == dataclasses.replace(study.data, image_size=96)
    named = LONG.replace(data=DataConfig(source="elsewhere", flip_prob=0.0))
    assert on_open_data_of(named, study).data.source == "elsewhere"
    assert on_open_data_of(named, study, all_settings=True).data == dataclasses.replace(
        study.data, flip_prob=0.0
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Recipes, "needs a recipe to compare with, and has none"),
        (lambda: Recipes(others=(LONG, LONG)), "two recipes are called long; give each recipe its"),
        (lambda: Recipes(others=(LONG.replace(name="all"),)), "no arm can be called 'all'"),
        (
            lambda: StudyPlan(recipe=TINY, design=Recipes(others=(DEEP.replace(name="tiny"),))),
            "two recipes are called tiny",
        ),
        (
            lambda: StudyPlan(
                recipe=TINY, design=Recipes(others=(LONG.replace(task=DetectionConfig()),))
            ),
            r'not of the same data and task; these differ: task \("detection", not "classific',
        ),
        (lambda: read_design({"kind": "recipes"}), "design.others = None: must be a list"),
        (
            lambda: read_design({"kind": "recipes", "others": [{"tricks": {"mixin": {}}}]}),
            "no trick 'mixin'; did you mean mixup",
        ),
        (
            lambda: read_design({"kind": "recipes", "others": [plain(LONG.data)]}),
            "a recipe has no part",
        ),
        (
            lambda: read_design({"kind": "recipes", "others": [LONG.to_dict()], "arms": []}),
            "design has no setting 'arms'; it has: others, tricks",
        ),
    ],
)
def test_recipes_that_cannot_be_compared(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
