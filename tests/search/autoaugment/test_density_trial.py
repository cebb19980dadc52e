"""Density matching: by hand on a network that needs no training, and on a trained fold."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.builders.images import photo, shape_folder
from tests.builders.recipes import bare_recipe
from tests.builders.trained import halves_network
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.policies.policies import LearnedPolicy, RandomPolicy
from trickbag.data.source import ArrayPart
from trickbag.errors import DoesNotApply, RunFailed
from trickbag.search.autoaugment.density_trial import DensityTrial, HeldBack, drawn, policy_of
from trickbag.streams import stream
from trickbag.study.trial import Trial
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.tricks.auto_augment import TABLES, AutoAugment

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.policies.policies import Policy
    from trickbag.recipe import Recipe

CIFAR = LearnedPolicy(table=TABLES["cifar10"])
INVERTS = LearnedPolicy(table=((("invert", 1.0, 0),),))
SAME = LearnedPolicy(table=((("identity", 1.0, 0),),))


def photos(count: int, labels: Any = None) -> ArrayPart:
    images = np.stack([photo(24, 20, seed) for seed in range(count)])
    labels = np.arange(count) % 3 if labels is None else labels
    return ArrayPart.of(images, np.asarray(labels, np.int64), "photo")


def by_hand(held_back: HeldBack, policy: Policy, seed: int, draws: int) -> tuple[float, float]:
    """Return the lowest loss and whether any draw is right, one image at a time."""
    losses, rights = [], []
    for row, crop, label in zip(held_back.rows, held_back.crops, held_back.labels, strict=True):
        of_image = []
        for draw in range(draws):
            pixels_HWC = np.array(policy(crop, stream(seed, "density", draw, row)))
            logits_K = held_back.network.logits(torch.from_numpy(pixels_HWC).permute(2, 0, 1)[None])
            if label.ndim:
                loss = functional.binary_cross_entropy_with_logits(
                    logits_K[0], label.float(), reduction="sum"
                )
                of_image.append((loss.item(), False))
            else:
                loss = functional.cross_entropy(logits_K, label[None])
                of_image.append((loss.item(), bool(logits_K.argmax() == label)))
        losses.append(min(loss for loss, _ in of_image))
        rights.append(any(right for _, right in of_image))
    return float(np.mean(losses)), 100 * float(np.mean(rights))


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("policy", [CIFAR, RandomPolicy()], ids=lambda policy: policy.kind)
def test_the_lowest_loss_of_each_image_by_hand(policy: Policy, draws: int) -> None:
    # 70 images: more than one batch of 64.
    held_back = HeldBack(halves_network(), photos(70))
    metrics = held_back.measured(policy, 5, draws)
    loss, top1 = by_hand(held_back, policy, 5, draws)
    assert metrics["density_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["density_top1"] == pytest.approx(top1)
    assert metrics["images"] == 70
    assert held_back.measured(policy, 5, draws) == metrics
    assert held_back.measured(policy, 6, draws) != metrics


def test_several_labels_an_image_by_hand() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (9, 3))
    held_back = HeldBack(halves_network(thresholds=(0.5,) * 3), photos(9, labels))
    metrics = held_back.measured(CIFAR, 5, 2)
    assert metrics["density_loss"] == pytest.approx(by_hand(held_back, CIFAR, 5, 2)[0], rel=1e-5)
    assert metrics["density_top1"] is None


def test_more_draws_cannot_raise_the_loss_and_no_policy_is_the_images() -> None:
    held_back = HeldBack(halves_network(), photos(12))
    losses: list[Any] = [held_back.measured(CIFAR, 5, n)["density_loss"] for n in (1, 2, 5)]
    assert losses[0] > losses[1] > losses[2]
    plain = held_back.measured(None, 5, 5)
    # Whether an image was changed is not asked: a copy of it gives the same.
    assert held_back.measured(SAME, 5, 2) == pytest.approx(plain, rel=1e-6)
    assert held_back.measured(INVERTS, 5, 2)["density_loss"] != plain["density_loss"]


def test_images_that_cannot_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    part, read = photos(6), ArrayPart.read

    def damaged(self: ArrayPart, i: int) -> np.ndarray:
        if i % 2:
            raise DecodeError("truncated")
        return read(self, i)

    monkeypatch.setattr(ArrayPart, "read", damaged)
    held_back = HeldBack(halves_network(), part)
    assert held_back.rows == [0, 2, 4]
    assert held_back.labels.tolist() == [0, 2, 1]
    assert held_back.measured(CIFAR, 5, 2)["images"] == 3
    with pytest.raises(RunFailed, match="none of the images"):
        HeldBack(halves_network(), part.subset([]))


def test_a_network_without_finite_logits_has_no_loss() -> None:
    network = halves_network()
    for parameter in network.network.parameters():
        parameter.data.fill_(float("nan"))
    metrics = HeldBack(network, photos(4)).measured(CIFAR, 5, 2)
    assert metrics == {"density_loss": None, "density_top1": 0.0, "images": 4}


def trial_of(recipe: Recipe, name: str = "0a") -> Trial:
    return Trial(id=name, label="policy 0", model="test_resnet", recipe=recipe, seed=3)


@pytest.mark.slow
def test_a_trial_measures_the_network_of_its_fold(tmp_path: Path) -> None:
    data = shape_folder(tmp_path / "data", 16)
    settings = {"data.inner_folds": "2", "data.inner_fold": "1", "training.epochs": "3"}
    recipe = bare_recipe(data, **settings)
    result = fit(recipe, 3, tmp_path / "trials" / "net1", log=RunLog())
    task = DensityTrial(folder=tmp_path / "trials", networks={0: "net0", 1: "net1"})
    task = pickle.loads(pickle.dumps(task))
    # Without a policy it is the validation of the run itself.
    plain = task(trial_of(recipe))
    assert (plain.status, plain.trial, plain.label, plain.seed) == ("finished", "0a", "policy 0", 3)
    assert plain.metrics["images"] == len(prepare(recipe.data).val)
    assert plain.metrics["density_loss"] == pytest.approx(result.metrics["loss"], rel=1e-5)
    assert plain.metrics["density_top1"] == pytest.approx(result.metrics["top1"])
    searched = trial_of(recipe.plus(AutoAugment(policy=CIFAR.table)))
    metrics = task(searched).metrics
    assert metrics != plain.metrics
    assert task(searched).metrics == metrics
    # The data may be handed over; each number is as before.
    given = DensityTrial(folder=task.folder, networks=task.networks, dataset=prepare(recipe.data))
    assert given(searched).metrics == metrics
    # A policy that a recipe refuses is a result.
    refused = trial_of(searched.recipe.set("data.policy", "random"))
    assert task(refused).status == "does_not_apply"
    assert "take one out" in str(task(refused).error)


def test_images_of_two_channels_have_no_policy() -> None:
    two = Preprocessing(image_size=8, resize=8, mean=(1, 1), std=(1, 1), channels=(0, 1))
    with pytest.raises(DoesNotApply, match=r"policies work on red, green and blue.* 2 channels"):
        HeldBack(halves_network(preprocessing=two), photos(4))


def test_the_policy_of_a_recipe() -> None:
    recipe = bare_recipe("digits")
    assert policy_of(recipe) is None
    assert policy_of(recipe.plus(AutoAugment(table="cifar10"))) == CIFAR
    assert policy_of(recipe.set("data.policy", "random")) == RandomPolicy()


def test_a_large_fold_is_judged_by_some_of_its_images(pictures: Path) -> None:
    part = prepare(DataConfig(source=str(pictures))).train
    assert drawn(part, None) is drawn(part, len(part)) is part
    few = drawn(part, 7)
    assert few.names == drawn(part, 7).names
    assert [name for name in part.names if name in few.names] == list(few.names)
    assert len(few) == 7
