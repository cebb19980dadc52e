"""Images as a pack holds them, kept in memory.

Shapes: H and W pixels, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import simplejpeg

from trickbag.data.packing.encode import scaled_down
from trickbag.data.packing.settings import QUALITY
from trickbag.data.source import EncodedPart, Part, Stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SHORT_SIDE", "packed_jpeg", "packed_raw"]

SHORT_SIDE = 256
"""The short side of packed images, in pixels; smaller ones stay as they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _BytesPart(EncodedPart):
    """Image files as bytes in memory."""

    files: tuple[bytes, ...]

    @property
    def place(self) -> str:
        """The memory."""
        return "memory"

    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i`."""
        return self.files[i]

    def stamp(self, i: int) -> Stamp | None:
        """Return None: the bytes have no time of change."""
        return None


@dataclass(frozen=True, kw_only=True, eq=False)
class _PixelsPart(Part):
    """Images as pixels in memory, of any sizes."""

    in_memory: ClassVar[bool] = True

    images: tuple[NDArray[np.uint8], ...]

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`; do not write into it."""
        return self.images[i]


def packed_jpeg(part: Part) -> Part:
    """Return the part with its images scaled down, as JPEGs."""
    files = tuple(
        simplejpeg.encode_jpeg(pixels, QUALITY, "RGB", "420") for pixels in _scaled_down(part)
    )
    sizes = np.array([len(file) for file in files], np.int64)
    # Written just now: there is no damage to look for.
    return _BytesPart(names=part.names, labels=part.labels, sizes=sizes, files=files, verified=True)


def packed_raw(part: Part) -> Part:
    """Return the part with its images scaled down, as pixels."""
    images = tuple(_scaled_down(part))
    sizes = np.array([pixels.nbytes for pixels in images], np.int64)
    return _PixelsPart(names=part.names, labels=part.labels, sizes=sizes, images=images)


def _scaled_down(part: Part) -> list[NDArray[np.uint8]]:
    images = (scaled_down(part.read(i), SHORT_SIDE) for i in range(len(part)))
    return [np.ascontiguousarray(pixels) for pixels in images]
