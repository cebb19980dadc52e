"""The ladder of Assemble-ResNet against the authors' networks, preprocessing and learning rates."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from trickbag import recipes
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.models.config import BigLittleConfig, ResNetConfig
from trickbag.models.official.networks import official_config, official_preprocessing
from trickbag.optim.schedule import Schedule
from trickbag.recipe import Recipe
from trickbag.recipes.lee2020 import LADDER
from trickbag.tricks.distillation import Distillation

EPOCHS = (120, 120, 120, 200, 200, 270, 270, 270, 600, 600, 600, 600, 600)


def network(recipe: Recipe) -> ResNetConfig | BigLittleConfig:
    """Apply the tricks to the recipe's network; leave out what its official weights do not depend
    on."""
    model = recipe.model
    for trick in recipe.tricks:
        model = trick.model(model)
    assert isinstance(model, ResNetConfig | BigLittleConfig)
    return dataclasses.replace(model, drop=None, num_classes=1001)


@pytest.mark.parametrize(
    ("name", "official"),
    [
        ("assemble_e0", "resnet50"),
        ("assemble_e3", "resnet50_d"),
        ("assemble_e4", "resnet50_d_se"),
        ("assemble_e8", "resnet50_d_sk"),
        ("assemble_e9", "resnet50_bl_sk"),
        ("assemble_e11", "assemble50"),
        ("assemble_resnet50", "assemble50"),
        ("assemble_resnet152", "assemble152"),
    ],
)
def test_a_step_trains_the_official_network(name: str, official: str) -> None:
    expected = official_config(official)
    if isinstance(expected, ResNetConfig):  # TensorFlow's pools are for its weights alone
        expected = dataclasses.replace(expected, pooling="torch")
    recipe = LADDER[name]()
    assert network(recipe) == expected
    evaluated, expected_preprocessing = (
        Preprocessing.for_evaluation(recipe.data, 224),
        official_preprocessing(official),
    )
    assert (evaluated.image_size, evaluated.resize) == (
        expected_preprocessing.image_size,
        expected_preprocessing.resize,
    )
    assert (evaluated.mean, evaluated.std) == (
        expected_preprocessing.mean,
        expected_preprocessing.std,
    )


def test_each_step_adds_what_the_table_says() -> None:
    ladder = [LADDER[f"assemble_e{i}"]() for i in range(13)]
    assert tuple(recipe.training.epochs for recipe in ladder) == EPOCHS
    added = [sorted({*b.trick_names} - {*a.trick_names}) for a, b in pairwise(ladder)]
    assert added == [
        *(
            ["resnet_d"],
            ["label_smoothing"],
            ["mixup"],
            ["squeeze_excite"],
            ["drop_block"],
            ["selective_kernel"],
        ),
        *([], [], ["big_little"], ["anti_alias"], ["auto_augment"], []),
    ]
    assert "squeeze_excite" not in ladder[6].trick_names
    assert "resnet_d" not in ladder[9].trick_names


@pytest.mark.parametrize(
    "name", [name for name in LADDER if name not in {f"assemble_e{i}" for i in range(7)}]
)
def test_a_teacher_is_used_as_the_authors_did(name: str) -> None:
    taught = LADDER[name](teacher="runs/teacher")
    trick = next(trick for trick in taught.tricks if isinstance(trick, Distillation))
    assert (trick.form, trick.view, trick.teacher) == ("assemble", "centre", ("runs/teacher",))
    assert taught.without("distillation") == LADDER[name]()


@pytest.mark.parametrize(("step", "lr"), [(6254, 0.4), (100_000, 0.384552), (375_342, 0.202639)])
def test_the_learning_rate_is_the_authors(step: int, lr: float) -> None:
    recipe = recipes.assemble_resnet50()
    schedule = Schedule()
    for trick in recipe.tricks:
        schedule = trick.schedule(schedule)
    # Their epoch has 1251.14 steps, hence the tolerance.
    assert recipe.training.lr * schedule.factor(
        step, 1251, recipe.training.epochs
    ) == pytest.approx(lr, rel=2e-3)


def test_data_of_ones_own_stay_as_they_are() -> None:
    data = recipes.assemble_e0(data="photos").data
    assert recipes.assemble_resnet152(data=data).data == data
