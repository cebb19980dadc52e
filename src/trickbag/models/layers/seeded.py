"""Random numbers of a layer as a function of a seed.

Torch's generators are one stream for all layers, so that each draw depends on every earlier one.
The operations here compile, and do not wait for the device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SeededLayer", "uniform"]

_WORD = (1 << 32) - 1
# The second is 0x846CA68B - 2^32, which is the same number in 32 bits.
_FACTORS = (0x7FEB352D, -0x7B935975)


def uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
    """Return uniform numbers in [0, 1) of `shape`, float32 with 24 random bits.

    Each depends only on `seed` and its own position. `seed` is one non-negative int64 on the device
    where the numbers are needed; it should be a hash, such as one of `streams.seed_of`. Number i is
    `hash(hash(i + low) ^ high)`, with the low and high 32 bits of the seed. Source of the hash:
    `lowbias32` of Wellons, "Prospecting for Hash Functions", 2018.
    """
    x = torch.arange(math.prod(shape), device=seed.device)
    x = _hash_(x.add_(seed & _WORD).bitwise_and_(_WORD))
    x = _hash_(x.bitwise_xor_(seed >> 32))
    # A float32 holds 24 bits. With all 32 the largest numbers would round up to 1.
    return (x >> 8).float().mul_(2**-24).reshape(tuple(shape))


def _hash_(x: Tensor) -> Tensor:
    """Mix the 32 bits of each number, one to one, in place."""
    # In int64 no product overflows. What a compiler does with signed integers that overflow is
    # undefined.
    x.bitwise_xor_(x >> 16).mul_(_FACTORS[0]).bitwise_and_(_WORD)
    x.bitwise_xor_(x >> 15).mul_(_FACTORS[1]).bitwise_and_(_WORD)
    return x.bitwise_xor_(x >> 16)


class SeededLayer(nn.Module):
    """Base of a layer that draws random numbers, from its `seed` if it has one.

    Without a seed it draws from torch's generator. `seed` (one int64) is not part of the weights.
    The training loop fills it before each pass (`models.layer_streams`); no compiled graph depends
    on its value. If a pass is computed again for the gradients, it draws the same numbers.
    """

    seed: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seed", None, persistent=False)
