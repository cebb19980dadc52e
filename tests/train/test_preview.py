"""Previews, as `show --picture` draws them: a batch, and what each trick alone does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.builders.recipes import bare_recipe
from trickbag.data.dataset import Dataset, prepare
from trickbag.recipe import Recipe
from trickbag.train.plan.resolve import resolve
from trickbag.train.preview import augmented, changes_elsewhere, previews
from trickbag.tricks.aug_mix import AugMix
from trickbag.tricks.balanced_sampling import BalancedSampling
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.ema import Ema
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.selective_kernel import SelectiveKernel

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.tricks.trick import Trick


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(recipe(pictures).data)


def recipe(source: Path, *tricks: Trick) -> Recipe:
    return bare_recipe(source, *tricks, model="resnet50")


def levels(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(images).astype(int)


def test_each_trick_that_changes_images_is_shown_on_the_same_ones(
    pictures: Path, dataset: Dataset
) -> None:
    tricks = (CosineDecay(), Mixup(lam="pair"), ColorJitter(), LabelSmoothing(), RandAugment())
    plain, trick_previews = previews(recipe(pictures, *tricks), dataset, 6)
    assert [preview.trick for preview in trick_previews] == [
        "mixup",
        "color_jitter",
        "rand_augment",
    ]
    for preview in trick_previews:
        assert levels(preview.images).shape == levels(plain).shape == (6, 16, 16, 3)
        assert np.abs(levels(preview.images) - levels(plain)).mean() > 1
    # Without tricks the run shows the same crops, but for the mirror.
    bare = recipe(pictures).set("data.flip_prob", "0")
    plan, _ = resolve(bare, dataset, 0)
    assert np.array_equal(levels(augmented(plan, (), dataset, 6)), levels(plain))
    # Mixed with the mirror place: between the two, but for rounding.
    pairs = np.stack([levels(plain), levels(plain)[::-1]])
    mixed = levels(trick_previews[0].images)
    assert (mixed >= pairs.min(0) - 1).all()
    assert (mixed <= pairs.max(0) + 1).all()


def test_of_several_views_a_changed_one_is_shown(pictures: Path, dataset: Dataset) -> None:
    plain, (preview,) = previews(recipe(pictures, AugMix()), dataset, 4)
    assert np.abs(levels(preview.images) - levels(plain)).mean() > 1
    assert np.array_equal(
        levels(previews(recipe(pictures, AugMix()), dataset, 4)[1][0].images),
        levels(preview.images),
    )


def test_a_policy_of_the_recipes_own_is_not_in_the_plain_images(
    pictures: Path, dataset: Dataset
) -> None:
    with_policy = recipe(pictures).set("data.policy", "random:count=3,magnitude=30")
    plan, _ = resolve(with_policy, dataset, 0)
    plain, trick_previews = previews(with_policy, dataset, 4)
    assert trick_previews == []
    assert np.array_equal(levels(plain), levels(previews(recipe(pictures), dataset, 4)[0]))
    assert not np.array_equal(
        levels(plain), levels(augmented(plan, with_policy.tricks, dataset, 4))
    )


def test_nothing_to_show(pictures: Path, dataset: Dataset) -> None:
    plain, trick_previews = previews(
        recipe(pictures, CosineDecay(), LabelSmoothing(), SelectiveKernel()), dataset, 3
    )
    assert len(plain) == 3
    assert trick_previews == []


def test_what_no_image_shows_is_named(pictures: Path, dataset: Dataset) -> None:
    tricks = (
        CosineDecay(),
        LabelSmoothing(),
        RandAugment(),
        BalancedSampling(power=0.5),
        SelectiveKernel(),
        Ema(),
    )
    _, trick_previews = previews(recipe(pictures, *tricks), dataset, 6)
    # Other images are no effect on these.
    assert [preview.trick for preview in trick_previews] == ["rand_augment"]
    assert changes_elsewhere(tricks, trick_previews) == {
        "the learning rate": ["cosine_decay"],
        "the targets": ["label_smoothing"],
        "the choice of images": ["balanced_sampling"],
        "the network": ["selective_kernel"],
        "the weights that are kept": ["ema"],
    }
