"""Cross-entropy and binary cross-entropy: against torch and the original code."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn import functional

from tests.models.official.originals import tensor, vector
from trickbag.optim.losses import (
    BinaryCrossEntropy,
    binary_cross_entropy,
    cross_entropy,
)
from trickbag.train.pipeline import weigh_classes
from trickbag.tricks.trick import Batch

K = 4
WEIGHTS = (0.5, 1.0, 2.0, 0.25)


def test_an_unreadable_image_counts_nothing() -> None:
    logits = torch.randn(3, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    nothing = torch.zeros(3, K, dtype=torch.float64)
    assert not binary_cross_entropy(logits, nothing).any()
    assert not binary_cross_entropy(logits, nothing, torch.zeros(3)).any()
    assert binary_cross_entropy(logits, nothing, torch.ones(3)).all(), "no label is not unreadable"


def test_losses_are_torchs() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(9, K, generator=rng, dtype=torch.float64) * 20
    targets = torch.rand(9, K, generator=rng, dtype=torch.float64)
    weights = torch.tensor(WEIGHTS).double()
    ones, labels = torch.ones(9, dtype=torch.float64), torch.arange(9) % K
    images = torch.zeros(9, 3, 1, 1)
    binary = functools.partial(functional.binary_cross_entropy_with_logits, reduction="none")
    torch.testing.assert_close(
        binary_cross_entropy(logits, targets, ones), binary(logits, targets).sum(1)
    )
    expected = binary(logits, targets, pos_weight=weights).sum(1).mean()
    batch = Batch(images, targets, labels, {}, multi_label=True, row_weights=ones)
    weighted = weigh_classes(batch, weights)
    torch.testing.assert_close(BinaryCrossEntropy()(logits, weighted), expected)
    onehot = functional.one_hot(labels, K).double()
    expected = (weights[labels] * binary(logits, onehot).sum(1)).mean()
    torch.testing.assert_close(
        BinaryCrossEntropy()(logits, weigh_classes(Batch(images, onehot, labels, {}), weights)),
        expected,
    )
    expected = functional.cross_entropy(logits, targets, weights, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, weights * targets), expected)


def test_the_sum_is_the_sigmoid_loss_of_the_original_code() -> None:
    facts, arrays = vector("units")
    logits, targets = tensor(arrays["loss_logits"]).double(), tensor(arrays["loss_onehot"]).double()
    assert float(binary_cross_entropy(logits, targets).mean()) == pytest.approx(
        facts["loss"]["sigmoid"], rel=1e-6
    )
    assert float(cross_entropy(logits, targets).mean()) == pytest.approx(
        facts["loss"]["ce_ls0.0"], rel=1e-6
    )


def test_gradients_of_large_logits_are_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    binary_cross_entropy(logits, torch.tensor([[1.0, 0.0]])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.0, 0.0]]
