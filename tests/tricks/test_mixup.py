"""Mixup: against timm and the formula by hand in float64, and what it draws."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import Mixup as TimmMixup
from torch import Tensor
from torch.nn import functional

from trickbag.tricks.label_smoothing import smooth
from trickbag.tricks.mixup import Mixup, mix
from trickbag.tricks.trick import Batch


def one_hot(labels: list[int], classes: int) -> Tensor:
    return functional.one_hot(torch.tensor(labels), classes).double()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixup_by_batch_equals_timms(smoothing: float) -> None:
    np.random.seed(3)
    options = {"mixup_alpha": 0.4, "label_smoothing": smoothing, "num_classes": 6, "mode": "batch"}
    timm_mixup = TimmMixup(**options)  # type: ignore[no-untyped-call]
    labels = [0, 1, 2, 3]
    images = torch.rand(4, 3, 5, 5, dtype=torch.float64)
    timm_images, timm_targets = timm_mixup(images.clone(), torch.tensor(labels))
    # timm's weight, from its targets: row 0 is class 0 with lam and class 3 with 1 - lam.
    off = smoothing / 6
    weight = (timm_targets[0, 0].item() - off) / (1 - smoothing)
    assert 0.0 < weight < 1.0
    lam, partner = torch.full((4,), weight, dtype=torch.float64), torch.tensor([3, 2, 1, 0])
    torch.testing.assert_close(mix(images, lam, partner), timm_images, rtol=0, atol=1e-6)
    targets = one_hot(labels, 6)
    if smoothing:
        targets = smooth(targets, smoothing)
    torch.testing.assert_close(
        mix(targets, lam, partner).float(), timm_targets.float(), rtol=0, atol=1e-6
    )


def test_mixing_by_hand() -> None:
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]], dtype=torch.float64)
    mixed = mix(
        values, torch.tensor([0.25, 1.0, 0.5], dtype=torch.float64), torch.tensor([2, 0, 1])
    )
    expected = torch.tensor([[3.25, 32.5], [2.0, 20.0], [3.0, 30.0]], dtype=torch.float64)
    assert torch.equal(mixed, expected)


def test_mixup_hook_mixes_targets_and_extras_too() -> None:
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
