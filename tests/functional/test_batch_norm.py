"""Statistics over the parts of a batch, against torch's batch normalisation of the whole one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from trickbag.functional.batch_norm import Gather, shared_batch_norm

CHANNELS = 3


class Exchange:
    """Threads that stand for processes: each gives a tensor, and each gets those of all."""

    def __init__(self, size: int) -> None:
        self.given: list[Tensor] = [torch.empty(0)] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def of(self, rank: int) -> Gather:
        def gather(tensor: Tensor) -> Tensor:
            self.given[rank] = tensor.detach().clone()
            self.barrier.wait()
            stacked = torch.stack(self.given)
            self.barrier.wait()
            return stacked

        return gather


def values(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    # Far from zero, where a variance by sums of squares would lose its digits.
    return (torch.randn(shape, generator=generator, dtype=torch.float64) + 100).to(dtype)


def in_parts(rows: list[int], work: Callable[[int, slice, Gather], object]) -> list[object]:
    """Call `work(rank, rows, gather)` of each part of a batch, all at the same time."""
    exchange, starts = Exchange(len(rows)), [sum(rows[:i]) for i in range(len(rows) + 1)]
    with ThreadPoolExecutor(len(rows)) as pool:
        futures = [
            pool.submit(work, rank, slice(*starts[rank : rank + 2]), exchange.of(rank))
            for rank in range(len(rows))
        ]
        return [future.result(timeout=60) for future in futures]


@given(
    rows=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    sides=st.sampled_from([(), (2,), (3, 2)]),
    affine=st.booleans(),
    momentum=st.floats(0.0, 1.0),
)
@settings(max_examples=25, deadline=None)
def test_parts_are_normalised_as_the_whole(
    rows: list[int], sides: tuple[int, ...], affine: bool, momentum: float
) -> None:
    shape = (sum(rows), CHANNELS, *sides)
    if sum(rows) == 1 and not sides:
        return  # one value a channel, which has a test of its own
    maps, wanted = values(shape, torch.float64), values(shape, torch.float64, seed=1)
    parameters = [values((CHANNELS,), torch.float64, seed) for seed in (2, 3)] if affine else []
    expected_inputs = [tensor.clone().requires_grad_() for tensor in (maps, *parameters)]
    mean, var = torch.zeros(CHANNELS).double(), torch.ones(CHANNELS).double()
    expected = functional.batch_norm(
        expected_inputs[0], mean, var, *(expected_inputs[1:] or (None, None)), True, momentum, 1e-3
    )
    gradients = torch.autograd.grad((expected * wanted).sum(), expected_inputs)

    def work(_: int, part: slice, gather: Gather) -> tuple[Tensor, ...]:
        inputs = [tensor.clone().requires_grad_() for tensor in (maps[part], *parameters)]
        running = torch.zeros(CHANNELS).double(), torch.ones(CHANNELS).double()
        weight, bias = inputs[1:] or (None, None)
        output = shared_batch_norm(
            inputs[0], *running, weight, bias, momentum=momentum, eps=1e-3, gather=gather
        )
        gradients = torch.autograd.grad((output * wanted[part]).sum(), inputs)
        return output.detach(), *running, *gradients

    parts: list[tuple[Tensor, ...]] = in_parts(rows, work)  # type: ignore[assignment]
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), expected.detach(), **close)
    for part in parts:
        torch.testing.assert_close(part[1], mean, **close)
        torch.testing.assert_close(part[2], var, **close)
    torch.testing.assert_close(torch.cat([part[3] for part in parts]), gradients[0], **close)
    for place, gradient in enumerate(gradients[1:], 4):
        summed = torch.stack([part[place] for part in parts]).sum(0)
        torch.testing.assert_close(summed, gradient, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sums_are_in_float32(dtype: torch.dtype) -> None:
    maps = values((8, CHANNELS, 4, 4), dtype).contiguous(memory_format=torch.channels_last)

    def work(_: int, part: slice, gather: Gather) -> tuple[Tensor, Tensor]:
        inputs = maps[part].clone().requires_grad_()
        output = shared_batch_norm(
            inputs, None, None, None, None, momentum=0.1, eps=1e-5, gather=gather
        )
        (gradient,) = torch.autograd.grad(output.float().square().sum(), inputs)
        return output.detach(), gradient

    parts: list[tuple[Tensor, Tensor]] = in_parts([3, 5], work)  # type: ignore[assignment]
    exact = functional.batch_norm(maps.double(), None, None, None, None, True, 0.1, 1e-5)
    output = torch.cat([part[0] for part in parts])
    assert output.dtype == dtype
    tolerance = 1e-4 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(output.double(), exact, rtol=tolerance, atol=tolerance)
    assert all(part[1].dtype == dtype for part in parts)


def test_one_value_a_channel_is_refused_as_by_torch() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        shared_batch_norm(
            torch.ones(1, CHANNELS),
            None,
            None,
            None,
            None,
            momentum=0.1,
            eps=1e-5,
            gather=lambda tensor: tensor.unsqueeze(0),
        )
