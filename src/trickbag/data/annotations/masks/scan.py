"""What the masks of a listing hold: their sizes, the numbers in them, a hash of each; in threads.

Shapes: H and W pixels.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.annotations.masks.mask_file import decode_mask
from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ScannedMask", "scan_masks"]

_MOST_THREADS = 32


class ScannedMask(NamedTuple):
    """What a mask holds, or the reason why it cannot be read.

    size: the bytes of its file. numbers: those that occur in it, in order. digest: 16 bytes, a hash
    of its size and all its numbers.
    """

    reason: str | None
    size: int = 0
    height: int = 0
    width: int = 0
    numbers: tuple[int, ...] = ()
    digest: bytes = bytes(16)


def scan_masks(paths: Sequence[str], max_pixels: int) -> list[ScannedMask]:
    """Read masks, of up to `max_pixels` pixels each, in threads; the results have their order."""
    with ThreadPoolExecutor(min(_MOST_THREADS, usable_cores())) as pool:
        return list(pool.map(lambda path: _scan(path, max_pixels), paths))


def _scan(path: str, max_pixels: int) -> ScannedMask:
    try:
        data = read_bytes(path, max_pixels)
        numbers = decode_mask(data, max_pixels)
    except DecodeError as error:
        return ScannedMask(f"its mask {os.path.basename(path)}: {error}")
    height, width = numbers.shape
    digest = hashlib.blake2b(f"{height}x{width}/".encode(), digest_size=16)
    digest.update(numbers.tobytes())
    counts = np.bincount(numbers.reshape(-1), minlength=256)
    return ScannedMask(
        reason=None,
        size=len(data),
        height=height,
        width=width,
        numbers=tuple(np.flatnonzero(counts).tolist()),
        digest=digest.digest(),
    )
