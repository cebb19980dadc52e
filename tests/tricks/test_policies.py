"""Policies: against torchvision's tables; AugMix's three views from the loader to the loss."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.transforms import AutoAugment as Reference
from torchvision.transforms import AutoAugmentPolicy

from tests.builders.recipes import bare_recipe
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.data.policies.policies import (
    LearnedPolicy,
    MixedPolicy,
    RandomPolicy,
    Table,
    ThreeAugmentPolicy,
)
from trickbag.data.policies.policy_file import PolicyFile
from trickbag.errors import DoesNotApply, UserError
from trickbag.optim.losses import BinaryCrossEntropy, CrossEntropy, cross_entropy
from trickbag.recipe import Recipe, trick_from_text
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.step import train_step
from trickbag.tricks.aug_mix import AugMix, ConsistencyLoss, jensen_shannon
from trickbag.tricks.auto_augment import TABLES, AutoAugment
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.three_augment import ThreeAugment
from trickbag.tricks.trick import Batch, Trick
from trickbag.tricks.trivial_augment import TrivialAugment

if TYPE_CHECKING:
    from pathlib import Path

N, K, S = 12, 3, 32


@pytest.mark.parametrize("table", TABLES)
def test_tables_equal_torchvisions(table: str) -> None:
    reference = Reference(AutoAugmentPolicy(table)).policies
    assert len(reference) == len(TABLES[table]) == 25
    for row, expected in zip(TABLES[table], reference, strict=True):
        assert [(name.replace("_", ""), p, level) for name, p, level in row] == [
            (name.lower(), p, level or 0) for name, p, level in expected
        ]


def policy_of(trick: Trick) -> Any:
    return trick.data(DataConfig()).policy


@pytest.mark.parametrize(
    "trick",
    [AutoAugment(), RandAugment(), TrivialAugment(), ThreeAugment(), AugMix()],
    ids=lambda t: t.name,
)
def test_a_policy_of_the_recipe_is_not_replaced(trick: Trick) -> None:
    with pytest.raises(
        DoesNotApply,
        match=rf"{trick.name} sets the policy .* \(data\.policy, random\): take one out",
    ):
        trick.data(DataConfig(policy=RandomPolicy(count=3)))


def test_hooks_set_the_policy() -> None:
    assert policy_of(
        RandAugment(version="timm", magnitude=7, bins=11, prob=0.5, magnitude_std=0.5)
    ) == RandomPolicy(magnitude=7, bins=11, ranges="increasing", prob=0.5, magnitude_std=0.5)
    assert policy_of(ThreeAugment(radius=3.0)) == ThreeAugmentPolicy(radius=3.0)
    assert policy_of(AutoAugment(table="svhn", fill=7)) == LearnedPolicy(
        table=TABLES["svhn"], fill=7
    )
    assert policy_of(AutoAugment(version="assemble")) == LearnedPolicy(
        table=TABLES["imagenet"], ranges="assemble", fill=128
    )
    assert policy_of(RandAugment(operations=3, magnitude=4, bins=10)) == RandomPolicy(
        count=3, magnitude=4, bins=10
    )
    assert policy_of(TrivialAugment()) == RandomPolicy(
        count=1, magnitude=None, bins=31, ranges="wide"
    )
    assert AugMix(severity=1).data(DataConfig()) == DataConfig(
        policy=MixedPolicy(severity=1), views=2
    )
    assert AugMix(weight=0).data(DataConfig()) == DataConfig(policy=MixedPolicy())
    loss = CrossEntropy()
    assert AugMix(weight=0).loss(loss) is loss


def test_policies_exclude_each_other() -> None:
    with pytest.raises(UserError, match="rand_augment and auto_augment exclude each other"):
        Recipe(tricks=(AutoAugment(), RandAugment()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("auto_augment:table=cifar10,version=assemble", "imagenet alone"),
        ("auto_augment:table=cifar100", "one of imagenet, cifar10, svhn"),
        ("auto_augment:policy=nowhere.json", "there is no policy file nowhere.json"),
        ("auto_augment:fill=300", "from 0 to 255"),
        ("rand_augment:magnitude=31", "from 0 to 30"),
        ("trivial_augment:bins=1", "at least 2"),
        ("aug_mix:severity=11", "from 1 to 10"),
        ("aug_mix:depth=0", "from 1 to 100"),
        ("aug_mix:width=1000000000000", "from 1 to 100"),
        ("rand_augment:operations=1000000000000", "from 1 to 100"),
    ],
)
def test_wrong_settings(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        trick_from_text(text)


SEARCHED: Table = ((("rotate", 0.7, 4), ("invert", 0.2, 0)), (("shear_x", 1.0, 9),))


def test_a_searched_policy_is_read_from_its_file_once(tmp_path: Path) -> None:
    first, second = tmp_path / "policy.json", tmp_path / "a b, c.json"
    for file in (first, second):
        PolicyFile(table=SEARCHED, found_by={"file": file.name}).write(file)
    recipe = Recipe().plus(trick_from_text(f"auto_augment:policy={first}"))
    first.unlink()
    assert policy_of(recipe.tricks[0]) == LearnedPolicy(table=SEARCHED)
    # The content is what counts: it is stored, and where the file lay makes no difference.
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(stored) == recipe
    assert str(tmp_path) not in str(stored)
    assert recipe.id == Recipe().plus(trick_from_text(f"auto_augment:policy={second}")).id
    assert recipe.id != Recipe().plus(AutoAugment(policy=SEARCHED[:1])).id
    # One setting after another, in either order.
    published = Recipe().plus(AutoAugment())
    assert published.tricks[0].table == "imagenet"  # type: ignore[attr-defined]
    paths = {"tricks.auto_augment.policy": str(second), "tricks.auto_augment.table": "none"}
    assert published.set_all(paths) == recipe
    back = {"tricks.auto_augment.policy": "none", "tricks.auto_augment.table": "imagenet"}
    assert recipe.set_all(back) == published
    with pytest.raises(UserError, match="exclude each other; leave one out, or set it to none"):
        published.set("tricks.auto_augment.policy", str(second))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"table": "imagenet"}, r"table = 'imagenet' and auto_augment\.policy exclude each other"),
        ({"version": "assemble"}, "auto_augment.policy: version = assemble is there for imagenet"),
        ({"policy": []}, r"auto_augment\.policy is empty"),
        ({"policy": [[["rotate", 0.5, 10]]]}, r"auto_augment\.policy: rotate has magnitude 10"),
        (
            {"policy": [[["rotat", 0.5, 1]]]},
            r"auto_augment\.policy\[0\].*= 'rotat': must be one of",
        ),
        ({"policy": "policy.json"}, r"= 'policy\.json': must be a list .*name of a policy file"),
    ],
)
def test_a_wrong_searched_policy_in_a_recipe(settings: dict[str, Any], says: str) -> None:
    plain = {"tricks": {"auto_augment": {"policy": SEARCHED, **settings}}}
    with pytest.raises(UserError, match=says):
        Recipe.from_dict(plain)


def divergence_by_hand(logits_NVK: np.ndarray) -> np.ndarray:
    p = np.exp(logits_NVK) / np.exp(logits_NVK).sum(2, keepdims=True)
    mean = p.mean(1, keepdims=True)
    return (p * np.log(p / mean)).sum(2).mean(1)


def test_divergence_by_hand_and_as_in_the_original_code() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (6, 3, 5))
    ours = jensen_shannon(torch.from_numpy(logits))
    np.testing.assert_allclose(ours.numpy(), divergence_by_hand(logits), rtol=1e-10)
    views = torch.from_numpy(logits).softmax(2).unbind(1)
    mixture = torch.stack(views).mean(0).clamp(1e-7, 1).log()
    codes = sum(functional.kl_div(mixture, view, reduction="batchmean") for view in views) / 3
    torch.testing.assert_close(ours.mean(), torch.as_tensor(codes), rtol=1e-9, atol=0)


def test_with_several_labels_the_divergences_of_classes_are_summed() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (6, 3, 5))
    # The softmax of z and 0 is the sigmoid of z.
    binary = np.stack([logits, np.zeros_like(logits)], axis=3)
    expected = sum(divergence_by_hand(binary[:, :, k]) for k in range(5))
    np.testing.assert_allclose(
        jensen_shannon(torch.from_numpy(logits), multi_label=True).numpy(), expected, rtol=1e-10
    )
    apart = torch.tensor([[[6.0] * 3, [-6.0] * 3]])
    assert float(jensen_shannon(apart)) == pytest.approx(0, abs=1e-6)
    assert float(jensen_shannon(apart, multi_label=True)) > 1.5


@settings(deadline=None)
@given(
    views=st.integers(2, 4),
    classes=st.integers(1, 6),
    scale=st.sampled_from([0.0, 1.0, 1e3]),
    seed=st.integers(0, 2**16),
)
def test_divergence_is_finite_and_bounded(
    views: int, classes: int, scale: float, seed: int
) -> None:
    logits = torch.randn(4, views, classes, generator=torch.Generator().manual_seed(seed)) * scale
    logits.requires_grad_()
    divergence = jensen_shannon(logits)
    divergence.sum().backward()
    assert (divergence >= -1e-5).all()
    assert (divergence <= math.log(views) + 1e-4).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    alike = jensen_shannon(logits[:, :1].expand(-1, views, -1))
    torch.testing.assert_close(alike, torch.zeros(4), rtol=0, atol=1e-5)


def test_the_loss_is_on_the_unchanged_images_and_ignores_unreadable_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, views = (
        torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((4, K), (4, 2, K))
    )
    targets = torch.eye(K, dtype=torch.float64)[[0, 1, 2, 0]]
    targets[2] = 0  # could not be read
    batch = Batch(torch.zeros(4, 3, 2, 2), targets, torch.arange(4), {}, view_logits=views)
    divergence = divergence_by_hand(torch.cat([logits[:, None], views], 1).numpy())
    expected = (cross_entropy(logits, targets).numpy() + 12 * divergence * [1, 1, 0, 1]).mean()
    assert float(ConsistencyLoss(CrossEntropy(), 12.0)(logits, batch)) == pytest.approx(
        expected, rel=1e-12
    )
    # With several labels an image counts by what could be read of it, whatever the number of its
    # labels.
    valid = torch.tensor([1, 0.25, 0, 1], dtype=torch.float64)
    targets[0] = 1
    multi_label_batch = batch._replace(targets=targets, multi_label=True, row_weights=valid)
    divergence = jensen_shannon(torch.cat([logits[:, None], views], 1), multi_label=True)
    expected = float(
        BinaryCrossEntropy()(logits, multi_label_batch) + 12 * (valid * divergence).mean()
    )
    assert float(
        ConsistencyLoss(BinaryCrossEntropy(), 12.0)(logits, multi_label_batch)
    ) == pytest.approx(expected, rel=1e-12)


def make_run(pictures: Path, *tricks: Trick, **changes: str) -> Run:
    sizes = {"data.image_size": str(S), "training.batch_size": str(N)}
    recipe = bare_recipe(pictures, *tricks, model="timm:convnext_atto", **(sizes | changes))
    plan, _ = resolve(recipe, prepare(recipe.data), seed=0)
    plan = dataclasses.replace(plan, training=dataclasses.replace(plan.training, batch_size=N))
    return build(plan, recipe.tricks)[0]


def raw_views() -> RawBatch:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (N, 3, 3, S, S), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, K, N))
    return RawBatch(images, labels, torch.arange(N), torch.arange(N) != 5)


def test_all_views_of_an_image_are_changed_alike(pictures: Path) -> None:
    run, raw = (
        make_run(pictures, AugMix(), ColorJitter(), Mixup(alpha=1.0), LabelSmoothing()),
        raw_views(),
    )
    draws = run.pipeline.draw(N, 3, run.plan.timestamp(0), run.device)
    batch = run.pipeline(raw, draws)
    assert batch.images.shape == (N, 3, S, S)
    assert batch.views is not None
    assert batch.views.shape == (N, 2, 3, S, S)
    for view in range(3):
        alone = run.pipeline(raw._replace(images=raw.images[:, view]), draws)
        images = batch.images if view == 0 else batch.views[:, view - 1]
        assert torch.equal(images, alone.images)
        assert torch.equal(batch.targets, alone.targets)
        assert alone.views is None


def test_the_step_by_hand(pictures: Path) -> None:
    run, raw = make_run(pictures, AugMix(weight=5), Mixup(alpha=1.0)), raw_views()
    run.network.double().eval()
    batch = run.pipeline(raw, run.pipeline.draw(N, 3, run.plan.timestamp(0), run.device))
    batch = batch._replace(images=batch.images.double(), targets=batch.targets.double())
    assert batch.views is not None
    batch = batch._replace(views=batch.views.double())
    loss, logits, targets = run.forward(batch)
    assert logits.shape == targets.shape == (N, K)
    views = torch.stack([batch.images, *batch.views.unbind(1)], 1)
    by_view = torch.stack([run.network(view).float() for view in views.unbind(1)], 1)
    counted = batch.targets.sum(1)
    assert (counted < 0.99).sum() == 2  # mixed with the one that could not be read, and that one
    divergence = torch.from_numpy(divergence_by_hand(by_view.detach().double().numpy()))
    expected = (
        cross_entropy(by_view[:, 0].double(), batch.targets) + 5 * divergence * counted
    ).mean()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.testing.assert_close(logits, by_view[:, 0].detach(), rtol=1e-5, atol=1e-6)


def test_accumulation_is_the_same_step_with_views(pictures: Path) -> None:
    tricks = (AugMix(), Mixup(alpha=1.0, lam="pair"))
    weights, sums = [], []
    for parts in ("1", "5"):
        run, raw = make_run(pictures, *tricks, **{"training.accumulate": parts}), raw_views()
        start = {name: value.detach().clone() for name, value in run.network.named_parameters()}
        progress = Progress.start(run.device)
        run.network.train()
        draws = run.pipeline.draw(N, 0, run.plan.timestamp(0), run.device)
        train_step(run, raw, draws, 0.1, int(raw.valid.sum()), progress)
        weights.append(dict(run.network.named_parameters()))
        sums.append((float(progress.loss_sum), float(progress.count)))
    for name, value in weights[0].items():
        moved = (value - start[name]).norm()
        assert (value - weights[1][name]).norm() <= 1e-4 * moved + 1e-7, name
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
