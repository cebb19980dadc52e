"""The type in which sums over many images are exact enough, on each type of device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["exact_dtype"]


def exact_dtype(device: torch.device) -> torch.dtype:
    """Return float64, or float32 for a device that has no float64: Apple's GPU, `mps`.

    In float32 counts are exact up to 2**24, and a sum of losses is right to about five digits.
    """
    import torch

    return torch.float32 if device.type == "mps" else torch.float64
