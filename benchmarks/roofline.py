"""The shortest time that a training step can take, from its operations and its bytes.

Each convolution, matrix product and batch normalisation, forward and backward, reads its inputs
from memory once and writes its outputs once, and computes its multiply-adds: it takes at least the
longer of both times. All else (activations, additions, pooling, the optimizer) counts nothing, as
if it were fused into these. The sum over all of them is the bound of a step. Bytes and operations
per second are what a large copy and a large matrix product reach on the same device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Peaks", "StepBound", "measured_peaks"]

_NORMALISATIONS = (
    "native_batch_norm",
    "cudnn_batch_norm",
    "_batch_norm_with_update",
    "batch_norm_backward",
)
"""Parts of the names of normalisations, which read all of their inputs: their sums come first."""


class Peaks:
    """What a device reaches: operations and bytes in a second."""

    def __init__(self, flops_per_s: float, bytes_per_s: float) -> None:
        self.flops_per_s, self.bytes_per_s = flops_per_s, bytes_per_s


def measured_peaks(device: str, dtype: torch.dtype, *, side: int, megabytes: int) -> Peaks:
    """Measure a matrix product of `side` and a copy of `megabytes`, the best of ten each."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.ones(megabytes * 2**20 // 4, device=device)
    target = torch.empty_like(source)
    product_s = _best_s(lambda: torch.mm(a, b), device)
    copy_s = _best_s(lambda: target.copy_(source), device)
    return Peaks(2 * side**3 / product_s, 2 * source.nbytes / copy_s)


def _best_s(job: Callable[[], Any], device: str, rounds: int = 10) -> float:
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    best = float("inf")
    for _ in range(rounds + 1):
        wait()
        started = time.perf_counter()
        job()
        wait()
        best = min(best, time.perf_counter() - started)
    return best


class StepBound(TorchDispatchMode):
    """Counts the operations and bytes of a step taken in the block; `bound_s` is their time."""

    def __init__(self, peaks: Peaks) -> None:
        super().__init__()
        self.peaks = peaks
        self.flops = self.bytes = 0
        self.bound_s = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count one operation."""
        outputs = func(*args, **(kwargs or {}))
        packet = getattr(func, "_overloadpacket", func)
        counts = flop_registry.get(packet)
        normalises = any(name in str(packet) for name in _NORMALISATIONS)
        if counts is None and not normalises:
            return outputs
        flops = counts(*args, **(kwargs or {}), out_val=outputs) if counts is not None else 0
        moved = sum(tensor.nbytes for tensor in _tensors((args, outputs)))
        self.flops += flops
        self.bytes += moved
        self.bound_s += max(flops / self.peaks.flops_per_s, moved / self.peaks.bytes_per_s)
        return outputs


def _tensors(values: Any) -> Iterable[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)
