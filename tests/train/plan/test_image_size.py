"""The image size and the validation crop of a run: who decides, in which order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from trickbag import recipes
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.recipe import Recipe
from trickbag.train.plan.plan import Plan
from trickbag.train.plan.resolve import resolve


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def settled(
    recipe: Recipe, dataset: Dataset, natural_size: int | None = None
) -> tuple[Plan, list[str]]:
    plan, notes = resolve(
        recipe.set("training.device", "cpu"),
        dataclasses.replace(dataset, natural_size=natural_size),
        0,
    )
    return plan, [note.text for note in notes if "px" in note.text]


def preparation(plan: Plan) -> tuple[int, int]:
    preprocessing = Preprocessing.of(plan.data, plan.image_size)
    return preprocessing.resize, preprocessing.image_size


@pytest.mark.parametrize(
    ("network", "prepared", "says"),
    [
        (
            "inception_v3",
            (342, 299),
            "299 px, 0.875 of the shorter edge in validation: what timm's inception_v3",
        ),
        (
            "efficientnet_b1",
            (273, 240),
            "240 px, 0.882 of the shorter edge in validation: what timm's tf_efficientnet_b1",
        ),
        ("timm:mobilenetv3_small_100", (256, 224), "224 px"),
    ],
)
def test_a_networks_own_size_where_nobody_says_another(
    network: str, prepared: tuple[int, int], says: str, dataset: Dataset
) -> None:
    plan, notes = settled(recipes.baseline(model=network), dataset)
    assert preparation(plan) == prepared
    assert len(notes) == 1
    assert says in notes[0]


def test_our_own_networks_have_224_px_without_a_word(dataset: Dataset) -> None:
    plan, notes = settled(recipes.baseline(), dataset)
    assert (preparation(plan), notes) == ((256, 224), [])


def test_the_recipe_the_source_and_the_recipes_default_come_first(dataset: Dataset) -> None:
    recipe = recipes.baseline(model="efficientnet_b1")
    assert preparation(settled(recipe.set("data.image_size", "96"), dataset, 28)[0]) == (110, 96)
    assert preparation(settled(recipe, dataset, 28)[0]) == (32, 28)
    assert preparation(settled(recipe.set("data.default_size", "64"), dataset, 28)[0]) == (32, 28)
    plan, notes = settled(recipe.set("data.default_size", "64"), dataset)
    assert (preparation(plan), notes) == ((74, 64), [])
    # A recipe for small images keeps its own size and crop.
    assert preparation(
        settled(recipes.small(model="inception_v3").without("resnet_d"), dataset)[0]
    ) == (64, 64)


def test_a_networks_own_crop_goes_with_its_own_size(dataset: Dataset) -> None:
    recipe = recipes.baseline(model="efficientnet_b1")
    plan, notes = settled(recipe.set("data.image_size", "240"), dataset)
    assert preparation(plan) == (273, 240)
    assert "0.882" in notes[0]
    assert plan.data.eval_crop == 0.882
    assert preparation(settled(recipe.set("data.eval_crop", "0.8"), dataset)[0]) == (300, 240)
