"""Compound scaling: the network and the image size of a run, alone and beside other tricks."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import DoesNotApply, Note, UserError
from trickbag.models.config import BigLittleConfig, ResNetConfig, model_config
from trickbag.recipe import Recipe, trick_from_text
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.big_little import BigLittleBranches
from trickbag.tricks.compound_scaling import CompoundScaling
from trickbag.tricks.squeeze_excite import SqueezeExcite


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def test_a_run_has_the_network_and_the_images_of_the_factor(dataset: Dataset) -> None:
    recipe = Recipe(
        model=ResNetConfig(depth=18, small_stem="auto"),
        data=DataConfig(image_size=64),
        tricks=(trick_from_text("compound_scaling:phi=2"),),
    )
    plan, notes = resolve(recipe.set("training.device", "cpu"), dataset, 0)
    assert isinstance(plan.model, ResNetConfig)
    assert (plan.model.depth_factor, plan.model.width_factor) == pytest.approx((1.44, 1.21))
    assert plan.image_size == round(64 * 1.15**2) == 85
    assert Note("choice", None, "images have 85 px: 1.322 times 64") in notes
    assert plan.model.stem == "small_s2"


def test_the_stem_follows_the_scaled_size(dataset: Dataset) -> None:
    recipe = Recipe(model=ResNetConfig(depth=18, small_stem="auto"), data=DataConfig(image_size=36))
    scaled = recipe.plus(CompoundScaling(phi=1, gamma=1.5)).set("training.device", "cpu")
    plan, _ = resolve(scaled, dataset, 0)
    assert (plan.image_size, getattr(plan.model, "stem", "")) == (54, "small_s2")


def test_factors_multiply_in_any_order_of_the_tricks() -> None:
    others = (SqueezeExcite(), BigLittleBranches())
    start = ResNetConfig(depth=50, width_factor=0.5)
    expected = BigLittleConfig(
        depth_factor=1.2,
        width_factor=0.5 * 1.1,
        attention=SqueezeExcite().model(start).attention,  # type: ignore[union-attr]  # ours
    )
    for order in itertools.permutations((CompoundScaling(), *others)):
        model = start
        for trick in order:
            model = trick.model(model)  # type: ignore[assignment]  # ours again
        assert model == expected
    assert CompoundScaling(phi=-1).data(DataConfig(size_factor=2.3)).size_factor == pytest.approx(
        2.0
    )


def test_images_that_would_be_too_small_are_refused(dataset: Dataset) -> None:
    recipe = Recipe(data=DataConfig(image_size=16), tricks=(CompoundScaling(phi=-6),)).set(
        "training.device", "cpu"
    )
    with pytest.raises(
        UserError, match=r"data\.size_factor = 0\.43.*: it makes 7 px of 16, .* at least 8; choose"
    ):
        resolve(recipe, dataset, 0)


def test_a_power_of_0_has_no_effect(dataset: Dataset) -> None:
    recipe = Recipe(tricks=(CompoundScaling(phi=0),)).set("training.device", "cpu")
    plan, notes = resolve(recipe, dataset, 0)
    assert plan.model == dataclasses.replace(ResNetConfig(), num_classes=3)
    reason = "phi is 0: depth, width and image size stay"
    assert Note("no_effect", "compound_scaling", reason) in notes


@pytest.mark.parametrize("network", ["efficientnet_b0", "timm:resnet18"])
def test_networks_of_timm_cannot_be_scaled(network: str) -> None:
    with pytest.raises(
        DoesNotApply, match=r"timm:.* has those of its name\. Use .*--without compound_scaling"
    ):
        CompoundScaling().model(model_config(network))


@pytest.mark.parametrize("text", ["alpha=0.9", "gamma=0", "phi=9", "phi=big"])
def test_values_without_sense(text: str) -> None:
    with pytest.raises(UserError, match=r"compound_scaling\.\w+ = .*: must be a number"):
        trick_from_text(f"compound_scaling:{text}")
