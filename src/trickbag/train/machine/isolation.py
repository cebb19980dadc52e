"""Threads and random state of a run, apart from those of the program that calls it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from trickbag.functional.device import forked_generators
from trickbag.train.machine.determinism import deterministic_algorithms

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["isolated"]


@contextmanager
def isolated(threads: int, device: str, *, deterministic: bool = False) -> Iterator[None]:
    """Compute with a number of threads and a random state that end with the block.

    The caller's threads and random state, that of its GPU included, are as before then. With
    `deterministic` torch computes the same bits each time, see `deterministic_algorithms`.
    """
    before = torch.get_num_threads()
    # The number of threads decides the order of sums, and with that the last bits of the weights.
    torch.set_num_threads(threads)
    try:
        with forked_generators(torch.device(device)), deterministic_algorithms(deterministic):
            yield
    finally:
        torch.set_num_threads(before)
