"""Logits at another size, in blocks, against torch's own scaling."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trickbag.functional import pixels
from trickbag.functional.pixels import enlarged_blocks, predicted_classes


@pytest.mark.parametrize("size", [(7, 9), (16, 24), (61, 45), (3, 4), (5, 100)])
@pytest.mark.parametrize("block", [1, 400, 2**24])
def test_blocks_are_those_of_interpolate(monkeypatch, size, block):
    monkeypatch.setattr(pixels, "_BLOCK", block)
    logits = torch.randn(5, 7, 9, generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(
        logits[None], size=size, mode="bilinear", align_corners=False
    )[0]
    starts, blocks = zip(*enlarged_blocks(logits, size), strict=True)
    result = torch.cat(blocks, dim=1)
    assert result.shape == expected.shape
    assert torch.allclose(result, expected, atol=1e-6)
    rows = [block.shape[1] for block in blocks]
    assert list(starts) == [sum(rows[:i]) for i in range(len(rows))]
    sure = expected.topk(2, dim=0).values.diff(dim=0).abs()[0] > 1e-5
    predicted = predicted_classes(logits, size)
    assert predicted.dtype == torch.uint8
    assert torch.equal(predicted[sure], expected.argmax(0).to(torch.uint8)[sure])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_predicts_nothing(value):
    logits = torch.zeros(3, 4, 4)
    logits[1, 0, 0] = value
    predicted = predicted_classes(logits, (4, 4))
    assert predicted[0, 0] == 3
    assert predicted.flatten()[1:].eq(0).all()
    assert predicted_classes(logits, (8, 8))[0, 0] == 3
