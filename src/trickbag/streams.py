"""Stateless random streams, one for each purpose, so that no draw depends on another.

A stream is a pure function of (seed, purpose, epoch, index). If one purpose is left out, as when a
trick is taken from a recipe, all other draws stay as they were. A resumed run has no generator
state to restore, and the number of workers changes nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["seed_of", "stream"]


def seed_of(seed: int, purpose: str, epoch: int = 0, index: int = 0) -> int:
    """Hash (seed, purpose, epoch, index) to an integer below 2**63."""
    # Not `hash`, which differs between processes: every machine and every Python gets the same.
    text = f"{seed}/{purpose}/{epoch}/{index}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def stream(seed: int, purpose: str, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Return the random generator of one purpose at one point of a run.

    purpose: what is drawn, such as "order", "crop", "mixup", "init:conv1.weight". epoch: counts
    from 0. index: for draws of an image, its row in the part; for draws of a batch, the step within
    the epoch.
    """
    # Of NumPy's generators, Philox gives independent streams for any two keys.
    return np.random.Generator(np.random.Philox(key=seed_of(seed, purpose, epoch, index)))
