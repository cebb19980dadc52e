"""Focal and asymmetric loss, and thresholded targets: against formulas, torchvision and timm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel
from timm.loss import BinaryCrossEntropy as TimmBinaryCrossEntropy
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss as torchvisions

from trickbag.functional.mixing import mix
from trickbag.optim.focal_losses import (
    AsymmetricLoss,
    FocalLoss,
    asymmetric_loss,
    focal_cross_entropy,
    sigmoid_focal_loss,
)
from trickbag.optim.losses import (
    BinaryCrossEntropy,
    binary_cross_entropy,
    binary_targets,
    cross_entropy,
)
from trickbag.tricks.label_smoothing import smooth
from trickbag.tricks.trick import Batch

N, K = 9, 4


def drawn(scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels of multiple, and labels of one an image, all float64."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(N, K, generator=rng, dtype=torch.float64) * scale
    multiple = torch.rand(N, K, generator=rng).gt(0.6).double()
    single = functional.one_hot(torch.arange(N) % K, K).double()
    return logits, multiple, single


def batch(targets: torch.Tensor, *, multi_label: bool) -> Batch:
    weights = torch.ones(N, dtype=targets.dtype) if multi_label else None
    images, index = torch.zeros(N, 3, 1, 1), torch.arange(N)
    return Batch(images, targets, index, {}, multi_label=multi_label, row_weights=weights)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_sigmoid_focal_loss_is_torchvisions(gamma: float, alpha: float | None) -> None:
    logits, multiple, _ = drawn()
    expected = torchvisions(
        logits, multiple, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="none"
    ).sum(1)
    ones = torch.ones(N, dtype=torch.float64)
    torch.testing.assert_close(sigmoid_focal_loss(logits, multiple, ones, gamma, alpha), expected)
    loss = FocalLoss(gamma, alpha)(logits, batch(multiple, multi_label=True))
    torch.testing.assert_close(loss, expected.mean())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_cross_entropy_is_the_formula(gamma: float) -> None:
    logits, _, single = drawn()
    p = logits.softmax(1).numpy()
    targets = smooth(single, 0.1).numpy()
    expected = -(targets * (1 - p) ** gamma * np.log(p)).sum(1)
    computed = focal_cross_entropy(logits, torch.from_numpy(targets), gamma)
    np.testing.assert_allclose(computed.numpy(), expected, rtol=1e-9)
    mean = FocalLoss(gamma)(logits, batch(torch.from_numpy(targets), multi_label=False))
    assert float(mean) == pytest.approx(expected.mean())
    if gamma == 0:
        torch.testing.assert_close(computed, cross_entropy(logits, torch.from_numpy(targets)))


@pytest.mark.parametrize(
    ("gamma_pos", "gamma_neg", "margin"),
    [(0.0, 4.0, 0.05), (1.0, 4.0, 0.05), (1.0, 2.0, 0.0), (0.0, 0.5, 0.2), (0.0, 0.0, 0.0)],
)
def test_asymmetric_loss_is_timms(gamma_pos: float, gamma_neg: float, margin: float) -> None:
    logits, multiple, _ = drawn()
    logits.requires_grad_()
    timm = AsymmetricLossMultiLabel(gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=margin)
    rows = [timm(logits[i : i + 1], multiple[i : i + 1]) for i in range(N)]
    # Older versions have another default reduction; of one row they are the same.
    expected = torch.stack([row.squeeze() for row in rows])
    ones = torch.ones(N, dtype=torch.float64)
    computed = asymmetric_loss(logits, multiple, ones, gamma_pos, gamma_neg, margin)
    # timm computes in float32.
    torch.testing.assert_close(computed.float(), expected, rtol=1e-4, atol=1e-6)
    if gamma_neg >= 1:
        # Below 1 its powers have no finite gradient where the probability is within the margin.
        (of_timm,) = torch.autograd.grad(expected.sum(), logits)
        (ours,) = torch.autograd.grad(computed.sum(), logits)
        torch.testing.assert_close(ours, of_timm, rtol=1e-4, atol=1e-6)
    settings = AsymmetricLoss(gamma_pos, gamma_neg, margin)
    mean = settings(logits, batch(multiple, multi_label=True))
    torch.testing.assert_close(mean, computed.mean())
    if gamma_pos == gamma_neg == margin == 0:
        torch.testing.assert_close(computed, binary_cross_entropy(logits, multiple, ones))


LOSSES = {
    "softmax": lambda logits, targets: focal_cross_entropy(logits, targets, 2.0),
    "softmax, root": lambda logits, targets: focal_cross_entropy(logits, targets, 0.5),
    "sigmoid": lambda logits, targets: sigmoid_focal_loss(logits, targets, None, 2.0, 0.25),
    "sigmoid, root": lambda logits, targets: sigmoid_focal_loss(logits, targets, None, 0.5),
    "asymmetric": asymmetric_loss,
    "asymmetric, root": lambda z, q: asymmetric_loss(z, q, None, 0.5, 0.5, 0.05),
    "asymmetric, no margin": lambda z, q: asymmetric_loss(z, q, None, 1.0, 4.0, 0.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    logits, _, single = drawn(1.0)
    targets = smooth(single, 0.1)
    assert torch.autograd.gradcheck(
        lambda z: LOSSES[name](z, targets), logits.requires_grad_(), atol=1e-6
    )
    for dtype in (torch.float32, torch.float64):
        large = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [0, 0]], dtype=dtype, requires_grad=True)
        rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], dtype=dtype)
        loss = LOSSES[name](large, rows)
        loss.sum().backward()
        assert large.grad is not None
        assert loss.isfinite().all()
        assert large.grad.isfinite().all()
        # An image that could not be read has a row of zeros.
        assert loss[2] == 0
        assert not large.grad[2].any()


@pytest.mark.parametrize("threshold", [0.2, 0.5])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("lam", [1.0, 0.75, 0.3])
def test_thresholded_targets_are_timms(threshold: float, reduction: str, lam: float) -> None:
    # Smoothed, mixed, then thresholded: timm's mixup smooths the targets that it mixes.
    logits, _, single = drawn()
    rows = smooth(single, 0.1)
    mixed = mix(rows, torch.full((N,), lam, dtype=torch.float64), torch.arange(N).flip(0))
    timm = TimmBinaryCrossEntropy(
        smoothing=0.0, target_threshold=threshold, sum_classes=reduction == "sum"
    )
    loss = BinaryCrossEntropy(reduction, threshold)  # type: ignore[arg-type]
    computed = loss(logits, batch(mixed, multi_label=False))
    torch.testing.assert_close(computed, timm(logits, mixed))
    plain = BinaryCrossEntropy(reduction)  # type: ignore[arg-type]
    assert plain(logits, batch(mixed, multi_label=False)) != computed


def test_thresholded_rows_keep_their_weight() -> None:
    # The second image could not be read, and the third is mixed with such a one.
    targets = torch.tensor([[0.9, 0.1], [0.0, 0.0], [0.45, 0.05]])
    assert binary_targets(targets, 0.2).tolist() == [[1, 0], [0, 0], [0.5, 0]]
    # A class that counts twice; one label that is there, and one that is half there.
    weights = torch.tensor([[2.0, 1.0]])
    assert binary_targets(torch.tensor([[1.8, 0.5]]), 0.6, weights).tolist() == [[2, 0]]
