"""The validation part that is held back if a source has none."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["hold_back"]


def hold_back(
    names: Sequence[str], labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split a listing, stratified by `labels`, into ascending training and validation indices.

    In each class `fraction` of the images is held back, rounded; at least one if the class has two,
    and never all. The images of a class are ranked by a hash of seed and name, so that an image
    added or removed moves at most one other image of its class.
    """
    held = np.zeros(len(names), bool)
    ranks = np.array([_rank(name, seed) for name in names], np.uint64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # Half is rounded up; Python's `round` would round it to the even number.
        count = min(max(int(len(members) * fraction + 0.5), 1), len(members) - 1)
        held[members[np.argsort(ranks[members], kind="stable")[:count]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _rank(name: str, seed: int) -> int:
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
