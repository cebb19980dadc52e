"""Stateless random streams: one for each purpose, so that no draw depends on another's.

A stream is a pure function of (seed, purpose, epoch, index). Leaving one purpose out (a trick taken
from a recipe) leaves every other draw as it was, resume has no generator state to restore, and the
number of workers changes nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["seed_of", "stream"]


def seed_of(seed: int, purpose: str, epoch: int = 0, index: int = 0) -> int:
    """Hash (seed, purpose, epoch, index) to an integer below 2**63, the same on every machine and
    Python."""
    text = f"{seed}/{purpose}/{epoch}/{index}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def stream(seed: int, purpose: str, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Return the random generator of one purpose at one place of a run.

    `purpose` names what is drawn ("order", "crop", "mixup", "init:conv1.weight"); `epoch` counts
    from 0; `index` is the sample's place in its part for draws made for an image, or the step
    within the epoch for draws made for a batch.
    """
    return np.random.Generator(np.random.Philox(key=seed_of(seed, purpose, epoch, index)))
