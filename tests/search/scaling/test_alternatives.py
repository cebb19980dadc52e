"""Depth, width and image size alone at the work of compound scaling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.models.config import OwnConfig, ResNetConfig
from trickbag.models.counting import count_macs
from trickbag.models.rounding import round_repeats
from trickbag.models.zoo import build_on_shapes
from trickbag.recipe import Recipe
from trickbag.search.scaling.alternatives import COMPOUND, Alternative, alternatives
from trickbag.search.scaling.family import Base
from trickbag.search.scaling.grid import ScalingPoint
from trickbag.study.designs.recipes import Recipes
from trickbag.train.plan.resolve import resolve

pytestmark = pytest.mark.slow

PAPER = ScalingPoint(120, 110, 115).constants


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


@pytest.fixture(scope="module")
def base(dataset: Dataset) -> Base:
    recipe = Recipe(
        model=ResNetConfig(depth=18, small_stem="auto", width_factor=0.125),
        data=DataConfig(image_size=20),
    )
    return Base.of(recipe.set_all({"training.device": "cpu", "training.threads": "1"}), dataset)


@pytest.fixture(scope="module")
def four(base: Base) -> list[Alternative]:
    return alternatives(base, PAPER, 1)


def test_each_scales_one_thing_alone(base: Base, four: list[Alternative], dataset: Dataset) -> None:
    labels = [COMPOUND, "depth alone", "width alone", "image size alone"]
    assert [each.label for each in four] == [each.recipe.name for each in four] == labels
    plans = [resolve(each.recipe, dataset, seed=0)[0] for each in four]
    changed = [
        (
            getattr(plan.model, "depth_factor") != 1,  # noqa: B009
            getattr(plan.model, "width_factor") != 0.125,  # noqa: B009
            plan.image_size != 20,
        )
        for plan in plans
    ]
    assert changed == [
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    for plan, each in zip(plans, four, strict=True):
        assert count_macs(build_on_shapes(plan.model), plan.image_size) == each.macs
        assert each.difference == pytest.approx(100 * (each.macs / four[0].macs - 1))
    assert four[0].difference == 0
    assert four[0].macs == base.scaled(ScalingPoint(120, 110, 115).factors(1)).macs


def test_no_neighbour_is_nearer(base: Base, four: list[Alternative], dataset: Dataset) -> None:
    goal = four[0].macs
    deep, _, large = four[1:]
    model = resolve(deep.recipe, dataset, seed=0)[0].model
    assert isinstance(model, OwnConfig)
    blocks = round_repeats(2, model.depth_factor)
    size = resolve(large.recipe, dataset, seed=0)[0].image_size
    assert isinstance(size, int)
    for change in (-1, 1):
        neighbour = large.recipe.set("data.image_size", str(size + change)).without(
            "compound_scaling"
        )
        plan, _ = resolve(neighbour, dataset, seed=0)
        macs = count_macs(build_on_shapes(plan.model), plan.image_size)
        assert abs(macs - goal) >= abs(large.macs - goal)
        model = {"model.depth_factor": str((blocks + change) / 2)}
        plan, _ = resolve(base.recipe.set_all(model), dataset, seed=0)
        macs = count_macs(build_on_shapes(plan.model), plan.image_size)
        assert abs(macs - goal) >= abs(deep.macs - goal)


def test_rows_and_recipes_that_a_person_can_read(four: list[Alternative]) -> None:
    rows = [each.to_dict() for each in four]
    assert json.loads(json.dumps(rows)) == rows
    assert rows[0] == {
        "label": COMPOUND,
        "phi": 1.0,
        **PAPER,
        "macs": four[0].macs,
        "difference": 0.0,
    }
    assert all(len(str(row["phi"])) <= 8 for row in rows), "an exponent is short"
    # They are the arms of a study.
    first, *others = (each.recipe for each in four)
    design = Recipes(others=tuple(others))
    design.check(first, (), None)


def test_work_that_one_thing_alone_cannot_have_is_refused(base: Base) -> None:
    with pytest.raises(UserError, match=r"macs = .*: a resnet of this width has from .* to"):
        alternatives(base, {"alpha": 2.0, "beta": 2.0, "gamma": 2.0}, 1.8)
