"""What the masks of a listing hold: their sizes, the numbers in them, a hash of each; in threads.

A mask that has not changed is read once only: what it holds is kept in the user's cache folder.
Shapes: H and W pixels.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trickbag.data.annotations.masks.mask_file import decode_mask
from trickbag.data.cores import usable_cores
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.decoding.decode import DecodeError, read_bytes
from trickbag.data.decoding.stamped_cache import StampedCache, decoder_versions, folder_digest
from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ScannedMask", "ScannedMasks", "scan_masks"]

_MOST_THREADS = 32


class ScannedMask(NamedTuple):
    """What a mask holds, or the reason why it cannot be read.

    size: the bytes of its file. numbers: those that occur in it, in order. digest: a hash of its
    size and all its numbers, 32 hexadecimal digits.
    """

    reason: str | None
    size: int = 0
    height: int = 0
    width: int = 0
    numbers: tuple[int, ...] = ()
    digest: str = bytes(16).hex()

    @classmethod
    def from_plain(cls, values: Sequence[object]) -> ScannedMask:
        """Read what `to_plain` returned; TypeError or ValueError for anything else."""
        reason, size, height, width, numbers, digest = values
        integers = (size, height, width)
        if (
            not isinstance(reason, str | None)
            or not all(isinstance(value, int) for value in integers)
            or not isinstance(numbers, list)
            or not all(isinstance(value, int) and 0 <= value < 256 for value in numbers)
            or not isinstance(digest, str)
            or len(bytes.fromhex(digest)) != 16
        ):
            raise TypeError("not an entry of the cache of masks")
        fields: Any = (*integers, tuple(numbers), digest)
        return cls(reason, *fields)

    def to_plain(self) -> list[Any]:
        """Return the values of all fields, in their order."""
        return [*self[:4], list(self.numbers), self.digest]


class ScannedMasks(NamedTuple):
    """What masks hold, in their order, and notes about the cache."""

    masks: list[ScannedMask]
    notes: tuple[Note, ...]


def scan_masks(
    root: Path, files: Sequence[str], max_pixels: int, cache_dir: Path | None = None
) -> ScannedMasks:
    """Read masks in a folder, of up to `max_pixels` pixels each, in threads.

    What they hold is kept in `cache_dir`, by default the user's cache folder; a file whose path,
    size and time of change are those of an earlier call is not read again.
    """
    folder = cache_dir or cache_folder()
    cache = StampedCache(
        folder / "masks" / f"{folder_digest(os.path.abspath(root))}.json",
        f"2, {decoder_versions('pillow')}, {max_pixels} pixels",
        ScannedMask.from_plain,
        ScannedMask.to_plain,
    )
    notes = []
    if cache.damaged:
        reason = f"the cache of masks {cache.path} was damaged: they are read again"
        notes.append(Note("damage", None, reason))
    paths = [os.path.abspath(root / file) for file in files]
    stamps = [_stamp(path) for path in paths]
    known = {
        path: result
        for path, stamp in zip(paths, stamps, strict=True)
        if stamp is not None and (result := cache.get(path, *stamp)) is not None
    }
    unknown = {p: s for p, s in zip(paths, stamps, strict=True) if p not in known}
    with ThreadPoolExecutor(min(_MOST_THREADS, usable_cores())) as pool:
        known.update(zip(unknown, pool.map(lambda p: _scan(p, max_pixels), unknown), strict=True))
    for path, stamp in unknown.items():
        if stamp is not None:
            cache.put(path, *stamp, known[path])
    if problem := cache.save():
        reason = f"what the masks hold is not kept for the next run: {problem}"
        notes.append(Note("data", None, reason))
    return ScannedMasks([known[path] for path in paths], tuple(notes))


def _stamp(path: str) -> tuple[int, int] | None:
    """Return the size and the time of change of a file; None if it is missing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


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
        digest=digest.hexdigest(),
    )
