"""The loss of pixels: against torch's, in parts, and with pixels that do not count."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from trickbag.functional.batch import Batch
from trickbag.metrics.segmentation import IGNORED
from trickbag.optim.pixel_losses import PixelCrossEntropy, pixel_cross_entropy


def example(seed: int, rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 3, 5, 6, generator=rng, dtype=torch.float64)
    masks = torch.randint(0, 3, (rows, 5, 6), generator=rng).to(torch.uint8)
    masks[torch.rand(rows, 5, 6, generator=rng) < 0.3] = IGNORED
    masks[0, :4] = IGNORED
    return logits.requires_grad_(), masks


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_any_division_gives_the_mean_over_all_pixels_that_count(seed: int, parts: int) -> None:
    logits, masks = example(seed)
    expected = functional.cross_entropy(logits, masks.long(), ignore_index=IGNORED)
    (gradient,) = torch.autograd.grad(expected, logits)
    # What the step does: the mean over the rows of a part, times rows by what counts in all.
    counted = (masks != IGNORED).sum() / masks[0].numel()
    total = torch.zeros((), dtype=torch.float64)
    for rows in torch.arange(4).tensor_split(parts):
        batch = Batch(torch.zeros(len(rows)), masks[rows], rows, {})
        total = total + PixelCrossEntropy()(logits[rows], batch) * len(rows) / counted
    assert torch.allclose(total, expected)
    (of_parts,) = torch.autograd.grad(total, logits)
    assert torch.allclose(of_parts, gradient, atol=1e-12)


def test_pixels_without_a_class_count_nothing() -> None:
    logits, masks = example(0)
    masks[1] = IGNORED
    losses = pixel_cross_entropy(logits, masks)
    assert losses[1] == 0
    losses.sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(dim=1)[masks == IGNORED] == 0).all()
    assert (logits.grad.abs().sum(dim=1)[masks != IGNORED] > 0).all()
