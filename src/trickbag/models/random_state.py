"""Torch's random state, lent to code that draws from it and put back afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_random_state"]


@contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator for the time of the block, and put its state back afterwards."""
    # Not torch.manual_seed: that would also seed every CUDA device, which nothing here restores.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
