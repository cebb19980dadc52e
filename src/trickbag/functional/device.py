"""What the types of devices can and cannot do, in one place.

Apple's GPU (`mps`) has no float64, and a copy to it that does not wait may read memory that has
changed meanwhile.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from trickbag.metrics.precision import exact_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

__all__ = ["copied", "forked_generators"]


def copied(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; on CUDA without waiting, if its memory is pinned.

    Float64 becomes float32 on a device that has none. A tensor that is there already is returned as
    it is.
    """
    if tensor.dtype.itemsize == 8 and tensor.is_floating_point():
        tensor = tensor.to(exact_dtype(device))
    # Elsewhere a copy is not ordered with what the CPU writes into the same memory.
    return tensor.to(device, non_blocking=device.type == "cuda")


@contextmanager
def forked_generators(device: torch.device) -> Iterator[None]:
    """Give torch's generators, of the CPU and of a device, back their state after the block."""
    import torch

    devices = []
    if device.type == "cuda":
        devices = [torch.cuda.current_device() if device.index is None else device.index]
    # `fork_rng` knows no generator of MPS, which `torch.manual_seed` sets too.
    state = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)
