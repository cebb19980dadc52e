"""Families: networks and image sizes as runs have them, and what rounding makes the same."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import DoesNotApply, UserError
from trickbag.models.config import MobileNetConfig, ResNetConfig, model_config
from trickbag.recipe import Recipe
from trickbag.search.scaling.family import Base, family
from trickbag.search.scaling.grid import Grid, ScalingPoint, grids
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.compound_scaling import CompoundScaling
from trickbag.tricks.resnet_tweaks import ResNetC
from trickbag.tricks.squeeze_excite import SqueezeExcite

PAPER = ScalingPoint(120, 110, 115)
SMALL = ResNetConfig(depth=18, small_stem="auto", width_factor=0.25)


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def recipe(model: ResNetConfig | MobileNetConfig = SMALL, size: int = 36) -> Recipe:
    """A recipe whose stem would change at 41 px."""
    return Recipe(
        model=model,
        data=DataConfig(image_size=size, size_factor=1.5 if size == 24 else 1.0),
        tricks=(ResNetC(), SqueezeExcite()) if isinstance(model, ResNetConfig) else (),
    ).set_all({"training.device": "cpu", "training.threads": "1"})


@pytest.mark.parametrize(("model", "size"), [(SMALL, 36), (SMALL, 24), (MobileNetConfig(), 36)])
@pytest.mark.parametrize("phi", [0.0, 1.0, 2.5])
def test_a_member_is_what_its_run_has(
    dataset: Dataset, model: ResNetConfig | MobileNetConfig, size: int, phi: float
) -> None:
    base = Base.of(recipe(model, size), dataset)
    scaled = base.scaled(PAPER.factors(phi))
    trick = CompoundScaling(phi=phi, **PAPER.constants)
    plan, _ = resolve(base.recipe_at("scaled", trick), dataset, seed=0)
    assert (plan.model, plan.image_size) == (scaled.config, scaled.image_size)
    # The base is the network that the recipe itself trains.
    plan, _ = resolve(recipe(model, size), dataset, seed=0)
    assert plan.image_size == base.network.image_size == 36
    assert getattr(plan.model, "stem", "") == base.network.config.stem


def test_the_stem_of_all_members_is_that_of_the_base(dataset: Dataset) -> None:
    base = Base.of(recipe(), dataset)
    (note,) = base.notes
    assert (
        "all networks have the stem small_s1, which suits the base network's images of 36 px"
        in (note.reason)
    )
    macs = [member.macs for member in family(base, PAPER.constants, range(3))]
    assert all(1.5 < more / less < 3.5 for less, more in itertools.pairwise(macs))
    stated = Base.of(recipe(ResNetConfig(depth=18)), dataset)
    assert stated.notes == ()


def test_rows_of_a_family(dataset: Dataset) -> None:
    base = Base.of(recipe(), dataset)
    rows = [member.to_dict() for member in family(base, PAPER.constants, (0, 1), batch_size=2)]
    assert json.loads(json.dumps(rows)) == rows
    assert [row["image_size"] for row in rows] == [36, 41]
    assert [(row["depth"], row["width"], row["size"]) for row in rows] == [
        (1.0, 1.0, 1.0),
        (1.2, 1.1, 1.15),
    ]
    assert rows[0]["params"] < rows[1]["params"]
    assert all(row["throughput"] > 0 for row in rows)
    (row,) = family(base, PAPER.constants, [0])
    assert row.throughput is None
    assert row.macs == rows[0]["macs"]


@pytest.mark.slow
def test_points_that_rounding_makes_the_same_are_told_by_their_shapes(dataset: Dataset) -> None:
    base = Base.of(recipe(), dataset)
    points = tuple(point for point in grids()[3].points if point.gamma <= 105)
    grid = Grid(steps=(10, 5, 5), points=points)
    truth = {}
    for point in grid.points:
        network = base.scaled(point.factors(1))
        shapes = tuple(tuple(x.shape) for x in network.on_shapes.state_dict().values())
        truth[point] = (shapes, network.image_size)
    for first, second in itertools.combinations(grid.points, 2):
        assert (base.key(first) == base.key(second)) == (truth[first] == truth[second])
    distinct = grid.distinct(base.key)
    # Two blocks a stage, 16 channels in the first: depths from 1.1 to 1.5 are three blocks.
    assert len(distinct.points) == len({*truth.values()}) < len(grid.points)


def test_what_cannot_be_scaled(dataset: Dataset) -> None:
    with pytest.raises(DoesNotApply, match="changes the depth and width of this package's"):
        Base.of(Recipe(model=model_config("timm:resnet18")), dataset)
    twice = recipe().plus(CompoundScaling())
    with pytest.raises(UserError, match="is scaled already, by compound_scaling; take it out"):
        Base.of(twice, dataset)
