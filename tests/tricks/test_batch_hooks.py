"""All tricks of the training step: draws that depend on their arguments alone, and one graph."""

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
def test_changing_images_in_place_gives_the_same(trick: Trick, n: int) -> None:
    draw = [torch.from_numpy(item) for item in trick.draw(n, np.random.default_rng(1))]
    in_place = tensors(trick.batch(batch(n)._replace(owned=True), *draw))
    for first, second in zip(in_place, tensors(trick.batch(batch(n), *draw)), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("trick", IN_STEP, ids=str)
@pytest.mark.parametrize("n", [1, 4])
def test_batch_hook_compiles_to_one_graph(trick: Trick, n: int) -> None:
    draw = [torch.from_numpy(item) for item in trick.draw(n, np.random.default_rng(0))]
    original = batch(n)
    copies = [item.clone() for item in tensors(original)]
    torch.compiler.reset()

    def hook(batch: Batch, *draw: torch.Tensor) -> list[torch.Tensor]:
        return tensors(trick.batch(batch, *draw))

    compiled = torch.compile(hook, fullgraph=True, backend="eager", dynamic=False)
    expected = hook(original, *draw)
    for first, second in zip(compiled(original, *draw), expected, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert [item.shape for item in expected] == [item.shape for item in copies]
    assert [item.dtype for item in expected] == [item.dtype for item in copies]
    # A batch that is not owned stays as it was.
    assert all(map(torch.equal, tensors(original), copies))
