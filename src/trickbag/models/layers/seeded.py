"""Random numbers of a layer as a function of a seed, in tensor operations that compile and wait for nothing.

Torch's generators are one stream for all who draw, so that each draw depends on every one before
it.
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
# The second is 0x846CA68B less 2^32, which is the same in 32 bits.
_FACTORS = (0x7FEB352D, -0x7B935975)


def uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
    """Return uniform numbers in [0, 1), float32 with 24 random bits, that depend on `seed` and their place alone.

    `seed` is one int64 from 0 on the device where the numbers shall be; seeds should be hashes,
    such as those of `streams.seed_of`. The number at place i is `hash(hash(i + low) ^ high)`, of
    the seed's low and high 32 bits. Source of the hash: `lowbias32` of Wellons, "Prospecting for
    Hash Functions", 2018.
    """
    x = torch.arange(math.prod(shape), device=seed.device)
    x = _hash_(x.add_(seed & _WORD).bitwise_and_(_WORD))
    x = _hash_(x.bitwise_xor_(seed >> 32))
    return (x >> 8).float().mul_(2**-24).reshape(tuple(shape))


def _hash_(x: Tensor) -> Tensor:
    """Mix the 32 bits of each number, one to one, in place.

    In int64, where no product leaves its range: what a compiler makes of signed integers that do is
    anybody's guess.
    """
    x.bitwise_xor_(x >> 16).mul_(_FACTORS[0]).bitwise_and_(_WORD)
    x.bitwise_xor_(x >> 15).mul_(_FACTORS[1]).bitwise_and_(_WORD)
    return x.bitwise_xor_(x >> 16)


class SeededLayer(nn.Module):
    """Base of a layer that draws random numbers: from torch's generator, or from its `seed` where it was given one.

    `seed` (int64, one value) is no part of the weights; whoever trains fills it before each pass,
    and no graph depends on its value. A pass that is computed anew for the gradients draws the
    same.
    """

    seed: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seed", None, persistent=False)
