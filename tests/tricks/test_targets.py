"""Label smoothing and mixup: against torch, timm, and the formulas by hand in float64."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import Mixup as TimmMixup
from timm.data.mixup import mixup_target
from torch import Tensor
from torch.nn import functional

from trickbag.tricks.label_smoothing import LabelSmoothing, smooth
from trickbag.tricks.mixup import Mixup, mix
from trickbag.tricks.trick import Batch

Definition = Literal["uniform", "others"]
DEFINITIONS: tuple[Definition, ...] = ("uniform", "others")


def one_hot(labels: list[int], classes: int) -> Tensor:
    return functional.one_hot(torch.tensor(labels), classes).double()


@pytest.mark.parametrize("smoothing", [0.1, 0.37])
def test_uniform_smoothing_is_torchs(smoothing: float) -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = [0, 3, 1, 1, 2]
    ours = functional.cross_entropy(logits, smooth(one_hot(labels, 4), smoothing))
    theirs = functional.cross_entropy(logits, torch.tensor(labels), label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)


def test_smoothing_of_others_is_the_papers() -> None:
    smoothed = smooth(one_hot([2], 5), 0.1, "others")
    expected = torch.tensor([[0.025, 0.025, 0.9, 0.025, 0.025]], dtype=torch.float64)
    torch.testing.assert_close(smoothed, expected, rtol=0, atol=1e-16)
    # The gap of the best logits, section 5.2: log((K - 1) (1 - eps) / eps).
    assert math.log(smoothed[0, 2] / smoothed[0, 0]) == pytest.approx(
        math.log(4 * 0.9 / 0.1), rel=1e-14
    )


@given(st.integers(2, 50), st.floats(0.01, 0.9))
def test_definitions_differ_by_their_smoothing_alone(classes: int, smoothing: float) -> None:
    targets = one_hot([1, 0], classes)
    same = smoothing * (classes - 1) / classes
    torch.testing.assert_close(
        smooth(targets, smoothing), smooth(targets, same, "others"), rtol=1e-12, atol=1e-15
    )


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(0.01, 0.99),
    st.sampled_from(DEFINITIONS),
)
def test_smoothing_keeps_the_sum_of_every_row(
    rows: list[list[float]], smoothing: float, definition: Definition
) -> None:
    targets = torch.tensor(rows, dtype=torch.float64)
    smoothed = smooth(targets, smoothing, definition)
    torch.testing.assert_close(smoothed.sum(1), targets.sum(1), rtol=1e-12, atol=1e-15)
    assert (smoothed >= 0).all()


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_row_of_zeros_stays_zero_and_one_class_stays_as_it_is(definition: Definition) -> None:
    assert not smooth(torch.zeros(2, 4), 0.1, definition).any()
    assert torch.equal(smooth(torch.ones(2, 1), 0.25, definition), torch.ones(2, 1))


def test_several_labels_are_questions_with_two_answers() -> None:
    targets = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.float64)
    valid = torch.tensor([1, 1, 1, 0], dtype=torch.float64)
    theirs = mixup_target(targets, 3, smoothing=0.2, multi_label=True)  # timm's
    ours = smooth(targets, 0.2, "uniform", valid)
    torch.testing.assert_close(ours[:3], theirs[:3].double(), rtol=0, atol=1e-7)
    assert smooth(targets, 0.2, "others", valid)[0].tolist() == pytest.approx([0.8, 0.8, 0.2])
    assert not ours[3].any(), "an image that could not be read says nothing"


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_smoothing_and_mixing_commute(definition: Definition) -> None:
    targets, lam, partner = (
        one_hot([0, 1, 2], 4),
        torch.tensor([0.2, 0.9, 0.5]),
        torch.tensor([2, 0, 1]),
    )
    one = smooth(mix(targets, lam, partner), 0.1, definition)
    torch.testing.assert_close(
        one, mix(smooth(targets, 0.1, definition), lam, partner), rtol=1e-14, atol=1e-16
    )


def test_smoothing_hook_changes_targets_alone() -> None:
    batch = Batch(
        torch.rand(2, 3, 4, 4), one_hot([0, 1], 3), torch.arange(2), {"teacher": torch.rand(2, 3)}
    )
    changed = LabelSmoothing(smoothing=0.3, definition="others").batch(batch)
    assert torch.equal(changed.targets, smooth(batch.targets, 0.3, "others"))
    assert changed._replace(targets=batch.targets) == batch


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixup_by_batch_is_timms(smoothing: float) -> None:
    np.random.seed(3)
    theirs = TimmMixup(mixup_alpha=0.4, label_smoothing=smoothing, num_classes=6, mode="batch")  # type: ignore[no-untyped-call]
    labels = [0, 1, 2, 3]
    images = torch.rand(4, 3, 5, 5, dtype=torch.float64)
    their_images, their_targets = theirs(images.clone(), torch.tensor(labels))
    # Their weight, read from what they made: row 0 is class 0 with lam and class 3 with 1 - lam.
    off = smoothing / 6
    weight = (their_targets[0, 0].item() - off) / (1 - smoothing)
    assert 0.0 < weight < 1.0
    lam, partner = torch.full((4,), weight, dtype=torch.float64), torch.tensor([3, 2, 1, 0])
    torch.testing.assert_close(mix(images, lam, partner), their_images, rtol=0, atol=1e-6)
    targets = one_hot(labels, 6)
    if smoothing:
        targets = smooth(targets, smoothing)
    torch.testing.assert_close(
        mix(targets, lam, partner).float(), their_targets.float(), rtol=0, atol=1e-6
    )


def test_mixing_by_hand() -> None:
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]], dtype=torch.float64)
    mixed = mix(
        values, torch.tensor([0.25, 1.0, 0.5], dtype=torch.float64), torch.tensor([2, 0, 1])
    )
    expected = torch.tensor([[3.25, 32.5], [2.0, 20.0], [3.0, 30.0]], dtype=torch.float64)
    assert torch.equal(mixed, expected)


def test_mixup_hook_mixes_whatever_is_said_about_an_image() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(4, 5, generator=generator)
    images = torch.rand(4, 3, 6, 6, generator=generator)
    batch = Batch(
        images,
        one_hot([0, 1, 2, 2], 5).float(),
        torch.arange(4),
        {"teacher": teacher, "weight": teacher[:, 0]},
    )
    trick = Mixup(alpha=1.0, lam="pair")
    lam, partner = map(torch.from_numpy, trick.draw(4, np.random.default_rng(0)))
    changed = trick.batch(batch, lam, partner)
    for new, old in [
        (changed.images, images),
        (changed.targets, batch.targets),
        (changed.extras["teacher"], teacher),
        (changed.extras["weight"], teacher[:, 0]),
    ]:
        for i in range(4):
            expected = float(lam[i]) * old[i].double() + (1 - float(lam[i])) * old[3 - i].double()
            torch.testing.assert_close(new[i].double(), expected, rtol=0, atol=1e-6)
    assert torch.equal(changed.index, batch.index)
    torch.testing.assert_close(changed.targets.sum(1), torch.ones(4))


@given(
    st.integers(1, 40),
    st.floats(0.05, 5),
    st.sampled_from(["batch", "pair"]),
    st.integers(0, 2**32),
)
def test_mixup_draws(n: int, alpha: float, lam: Literal["batch", "pair"], seed: int) -> None:
    weights, partner = Mixup(alpha=alpha, lam=lam).draw(n, np.random.default_rng(seed))
    assert weights.shape == partner.shape == (n,)
    assert weights.dtype == np.float32
    assert partner.dtype == np.int64
    assert ((weights >= 0) & (weights <= 1)).all()
    assert partner.tolist() == list(range(n))[::-1]
    assert lam == "pair" or len(set(weights.tolist())) == 1


def test_mixup_weights_follow_the_beta_distribution() -> None:
    weights, _ = Mixup(alpha=0.2, lam="pair").draw(100_000, np.random.default_rng(0))
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)).
    assert weights.mean() == pytest.approx(0.5, abs=0.005)
    assert weights.var() == pytest.approx(1 / (4 * 1.4), rel=0.01)
