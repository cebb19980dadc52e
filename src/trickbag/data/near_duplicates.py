"""Images that look alike: by a hash of what an image looks like, and pairs of similar hashes.

Shapes: N images, H and W pixels, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trickbag.data.duplicates import CopySet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from trickbag.data.source import Part

__all__ = ["MAX_DISTANCE", "near_duplicates_of", "perceptual_hash"]

MAX_DISTANCE = 10
"""The most bits of 128 by which the hashes of two images differ that look alike.

Of 945 photos, shrunk from 224 to 128 px and compressed again, 98.5 % are within it; of the 40
million pairs of the 9,000 photos of Imagenette at 128 px none is.
"""

_SMALLEST = 32
"""The shorter side in pixels below which an image has no hash: drawings of digits are all alike."""

_ROWS = 96
"""Of larger images about so many rows are looked at: all of them would take as long as decoding."""

_LUMA = np.array([0.299, 0.587, 0.114])
_NOISE, _LEAST_STRUCTURE = 2.0, 32
"""Grey levels that say nothing; how many of the 128 differences must be larger."""

_BANDS = 8
"""Bands of 16 bits. Pairs are compared that are equal in one: all those of up to 7 different bits,
and 97 % of those of 10."""

_COMPARED = 1 << 20
"""Pairs that are compared at once."""

_BIT_COUNTS = np.array([value.bit_count() for value in range(256)], np.uint8)


def perceptual_hash(pixels_HWC: NDArray[np.uint8]) -> str:
    """Hash what an image looks like to 32 hexadecimal digits; resized, it has nearly the same hash.

    Each of the 128 bits tells which of two neighbours is brighter, of the means of 9x9 fields: in
    8 rows, and in 8 columns. Returns "" for an image of a side below 32 px, and for one that is
    nearly flat. Source: N. Krawetz, "Kind of Like That" (2013), dHash, there of one direction.
    """
    height, width = pixels_HWC.shape[:2]
    if min(height, width) < _SMALLEST:
        return ""
    rows = np.ascontiguousarray(pixels_HWC[:: max(1, height // _ROWS)])
    if rows.shape[2] == 3:
        fields = _fields(rows) @ _LUMA
    else:
        bands = np.ascontiguousarray(np.moveaxis(rows, 2, 0))
        fields = np.mean([_fields(band) for band in bands], axis=0)
    across = (fields[:8, 1:] - fields[:8, :-1]).ravel()
    down = (fields[1:, :8] - fields[:-1, :8]).ravel()
    differences = np.concatenate([across, down])
    if (np.abs(differences) > _NOISE).sum() < _LEAST_STRUCTURE:
        return ""
    return np.packbits(differences > 0).tobytes().hex()


def _fields(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((9, 9), Image.Resampling.BOX))


def near_duplicates_of(
    parts: Mapping[str, Part],
    hashes: Mapping[str, Sequence[str]],
    digests: Mapping[str, Sequence[str]],
) -> tuple[CopySet, ...]:
    """Find the images that look alike but are not the same; those of several parts come first.

    Of copies, which have one digest, the first stands for all. What looks like the same image is
    one set. Images without a hash look like no other.
    """
    places, seen = [], set()
    for name in sorted(parts, key=("train", "val", "test").index):
        for i, (text, digest) in enumerate(zip(hashes[name], digests[name], strict=True)):
            if text and digest not in seen:
                seen.add(digest)
                places.append((name, i))
    codes = np.array(
        [np.frombuffer(bytes.fromhex(hashes[name][i]), np.uint8) for name, i in places], np.uint8
    ).reshape(-1, 16)
    sets = [
        CopySet.at([places[i] for i in members], parts, alike=True) for members in _alike(codes)
    ]
    return tuple(sorted(sets, key=lambda copies: (not copies.in_parts, not copies.differing)))


def _alike(codes_N16: NDArray[np.uint8]) -> list[list[int]]:
    """Return the sets of hashes that differ little, directly or through others."""
    parent = np.arange(len(codes_N16))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for left, right in _pairs(codes_N16):
        a, b = root(left), root(right)
        parent[max(a, b)] = min(a, b)
    sets: dict[int, list[int]] = {}
    for i in np.flatnonzero(parent != np.arange(len(parent))).tolist():
        first = root(i)
        sets.setdefault(first, [first]).append(i)
    return [sets[first] for first in sorted(sets)]


def _pairs(codes_N16: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that are equal in a band and differ little, some of them more than once."""
    bands = np.ascontiguousarray(codes_N16).view(np.uint16)
    for band in range(_BANDS):
        order = np.argsort(bands[:, band], kind="stable")
        starts = np.flatnonzero(np.diff(bands[order, band], prepend=-1, append=-1))
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            yield from _close(codes_N16, order[start:end])


def _close(codes_N16: NDArray[np.uint8], members: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of members that differ little."""
    step = max(1, _COMPARED // len(members))
    codes = codes_N16[members]
    for first in range(0, len(members) - 1, step):
        rows = codes[first : first + step, None]
        distances = _BIT_COUNTS[rows ^ codes[None, first:]].sum(axis=2, dtype=np.uint8)
        left, right = np.nonzero(distances <= MAX_DISTANCE)
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            if a < b:
                yield int(members[first + a]), int(members[first + b])
