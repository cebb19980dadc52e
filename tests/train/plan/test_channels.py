"""Recipes for images of other channels than red, green and blue."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.recipes import bare_recipe
from tests.builders.teachers import passing_teacher
from trickbag.data.config import MEAN, DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding.pixel_format import PixelFormat
from trickbag.errors import DoesNotApply, UserError
from trickbag.study.designs.applicability import unfit_for_network
from trickbag.train.build import build
from trickbag.train.plan.plan import Plan
from trickbag.train.plan.resolve import resolve
from trickbag.train.teachers.student import student_of, teacher_notes
from trickbag.train.teachers.teacher import Teacher
from trickbag.tricks.aug_mix import AugMix
from trickbag.tricks.auto_augment import AutoAugment
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cutout import Cutout
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.trivial_augment import TrivialAugment

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.tricks.trick import Trick

FIVE = PixelFormat((("integer", 0.0, 4095.0),), (0, 1, 2, 3, 4))


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def with_pixels(dataset: Dataset, pixels: PixelFormat) -> Dataset:
    return dataclasses.replace(dataset, pixels=pixels)


@pytest.mark.parametrize(
    "trick",
    [ColorJitter(), PCANoise(), AutoAugment(), RandAugment(), TrivialAugment(), AugMix()],
    ids=lambda trick: trick.name,
)
@pytest.mark.parametrize("channels", [(0,), (0, 1), (0, 1, 2, 3)])
def test_tricks_of_colours_do_not_apply(
    pictures: Path, dataset: Dataset, trick: Trick, channels: tuple[int, ...]
) -> None:
    recipe = bare_recipe(pictures, trick)
    count = f"{len(channels)} channel"
    with pytest.raises(DoesNotApply, match=rf"{trick.name} .* have {count}.*--without") as raised:
        resolve(recipe, with_pixels(dataset, PixelFormat(channels=channels)), 0)
    assert "\n" not in str(raised.value)
    resolve(recipe, with_pixels(dataset, PixelFormat(channels=(4, 0, 1))), 0)


def test_studies_state_tricks_of_colours(pictures: Path, dataset: Dataset) -> None:
    tricks = (ColorJitter(), Mixup(), AugMix())
    recipe, grey = bare_recipe(pictures, *tricks), with_pixels(dataset, PixelFormat(channels=(0,)))
    reasons = unfit_for_network(recipe, tricks, grey)
    assert {*reasons} == {"color_jitter", "aug_mix"}
    assert "1 channel" in reasons["aug_mix"]
    assert unfit_for_network(recipe, tricks, dataset) == {}


def test_a_policy_of_the_recipe_needs_colours(pictures: Path, dataset: Dataset) -> None:
    recipe = bare_recipe(pictures, data__policy="random")
    with pytest.raises(UserError, match=r"data.policy changes colours.*data.policy=none"):
        resolve(recipe, with_pixels(dataset, FIVE), 0)


@pytest.mark.parametrize("model", ["timm:test_resnet", "resnet18_d"])
@pytest.mark.parametrize("channels", [(2,), (0, 1, 2, 3, 4)])
def test_the_network_has_as_many_input_channels(
    pictures: Path, dataset: Dataset, model: str, channels: tuple[int, ...]
) -> None:
    thin = {"model__width_factor": "0.1"} if model == "resnet18_d" else {}
    recipe = bare_recipe(pictures, Mixup(), Cutout(), RandomErasing(), model=model, **thin)
    data = with_pixels(dataset, PixelFormat(channels=channels))
    plan, notes = resolve(recipe, data, 0)
    assert plan.model.in_channels == len(channels)
    assert plan.data.channels == channels
    assert plan.data.mean == (sum(MEAN) / 3,) * len(channels)
    assert [note.kind for note in notes if "averages of those of red" in note.reason] == ["choice"]
    build(plan, recipe.tricks, data)


def test_the_range_and_the_channels_are_settled_in_the_plan(
    pictures: Path, dataset: Dataset
) -> None:
    plan, _ = resolve(bare_recipe(pictures, data__channels="all"), with_pixels(dataset, FIVE), 0)
    assert plan.data.pixels == FIVE
    assert type(plan).from_stored(plan.to_stored()) == plan
    plain, _ = resolve(bare_recipe(pictures), dataset, 0)
    assert (plain.data.channels, plain.data.pixel_range) == (None, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__in_channels": "4"}, r"model.in_channels = 4, and images have 5 channels"),
        ({"data__mean": "1,2"}, r"data.mean has 2 values, and images have 5 channels"),
        ({"data__std": "1,2,3,4"}, r"data.std has 4 values"),
    ],
)
def test_numbers_that_do_not_fit(
    pictures: Path, dataset: Dataset, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        resolve(bare_recipe(pictures, **settings), with_pixels(dataset, FIVE), 0)


def test_mean_and_std_by_channel_are_taken(pictures: Path, dataset: Dataset) -> None:
    settings = {"data__mean": "1,2,3,4,5", "data__std": "5,4,3,2,1", "model__in_channels": "5"}
    plan, notes = resolve(bare_recipe(pictures, **settings), with_pixels(dataset, FIVE), 0)
    assert plan.data.mean == (1, 2, 3, 4, 5)
    assert not [note for note in notes if "averages" in note.reason]


@pytest.mark.parametrize("view", ["online", "centre"])
def test_a_teacher_for_other_channels_is_refused(
    pictures: Path, dataset: Dataset, view: Any
) -> None:
    recipe = bare_recipe(pictures, Distillation(teacher=str(passing_teacher()), view=view))
    data = with_pixels(dataset, FIVE)
    plan, _ = resolve(recipe, data, 0)
    with pytest.raises(DoesNotApply, match=r"takes images of 3 channels, and these have 5"):
        build(plan, recipe.tricks, data)


def test_a_teacher_of_another_range_is_noted(pictures: Path, dataset: Dataset) -> None:
    tricks = (Distillation(teacher=str(passing_teacher())),)
    (student,) = filter(None, [student_of(tricks)])
    recipe = bare_recipe(pictures, *tricks)
    plan, _ = resolve(recipe, with_pixels(dataset, PixelFormat(channels=(4, 2, 0))), 0)
    # Nothing is known of what a teacher of photos was trained on but that it is RGB.
    assert not any("trained with" in note.reason for note in teacher_notes(student, plan, tricks))
    ranged = dataclasses.replace(
        plan.data, channels=None, pixel_range=(("integer", 0.0, 4095.0),), mean=None, std=None
    )
    path = student.spec.teachers[0]
    described = Teacher.of(path)
    trained = dataclasses.replace(described.preprocessing, pixel_range=(("integer", 0.0, 1023.0),))
    with pytest.MonkeyPatch.context() as patch:
        other = dataclasses.replace(described, preprocessing=trained)
        patch.setattr(Teacher, "of", lambda spec: other)
        notes = teacher_notes(student, _with_data(plan, ranged), tricks)
    assert any("trained with pixel range" in note.reason for note in notes)


def _with_data(plan: Plan, data: DataConfig) -> Plan:
    settled = dataclasses.replace(data, mean=plan.data.mean, std=plan.data.std)
    return dataclasses.replace(plan, data=settled)
