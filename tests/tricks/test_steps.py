"""What every trick of the training step keeps to: draws that depend on their arguments alone, one
graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tricks.table import TABLE
from trickbag.tricks import Batch, Trick
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup

IN_STEP: list[Trick] = [
    *(entry.trick for entry in TABLE.values() if entry.trick.overrides("batch")),
    ColorJitter(),
    LabelSmoothing(),
    Mixup(),
]


def batch(n: int) -> Batch:
    generator = torch.Generator().manual_seed(n)
    images = torch.rand(n, 3, 8, 8, generator=generator) * 255
    targets = torch.eye(5)[torch.arange(n) % 5]
    return Batch(
        images, targets, torch.arange(n), {"teacher": torch.randn(n, 5, generator=generator)}
    )


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [batch.images, batch.targets, batch.index, *batch.extras.values()]


@pytest.mark.parametrize("trick", IN_STEP, ids=str)
@pytest.mark.parametrize("n", [1, 7])
def test_draws_depend_on_their_arguments_alone(trick: Trick, n: int) -> None:
    np.random.seed(0)
    first = trick.draw(n, np.random.default_rng(5))
    np.random.seed(1)
    second = trick.draw(n, np.random.default_rng(5))
    assert all(len(item) == n for item in first)
    assert [item.tolist() for item in first] == [item.tolist() for item in second]
    if first:
        third = trick.draw(n, np.random.default_rng(6))
        assert [item.tolist() for item in first] != [item.tolist() for item in third]


@pytest.mark.parametrize("trick", IN_STEP, ids=str)
@pytest.mark.parametrize("n", [1, 5])
def test_images_that_may_be_changed_in_place_come_out_the_same(trick: Trick, n: int) -> None:
    draw = [torch.from_numpy(item) for item in trick.draw(n, np.random.default_rng(1))]
    made = trick.batch(batch(n)._replace(owned=True), *draw)
    for one, other in zip(tensors(made), tensors(trick.batch(batch(n), *draw)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("trick", IN_STEP, ids=str)
@pytest.mark.parametrize("n", [1, 4])
def test_batch_hook_compiles_to_one_graph(trick: Trick, n: int) -> None:
    draw = [torch.from_numpy(item) for item in trick.draw(n, np.random.default_rng(0))]
    given = batch(n)
    untouched = [item.clone() for item in tensors(given)]
    torch.compiler.reset()

    def plain(given: Batch, *draw: torch.Tensor) -> list[torch.Tensor]:
        return tensors(trick.batch(given, *draw))

    compiled = torch.compile(plain, fullgraph=True, backend="eager", dynamic=False)
    expected = trick.batch(given, *draw)
    for one, other in zip(compiled(given, *draw), tensors(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert [one.shape for one in tensors(expected)] == [one.shape for one in untouched]
    assert [one.dtype for one in tensors(expected)] == [one.dtype for one in untouched]
    assert all(
        torch.equal(one, other) for one, other in zip(tensors(given), untouched, strict=True)
    )
