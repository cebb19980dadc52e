"""AVIF and HEIC: their boxes, and what of Pillow and of the extra `heif` decodes them.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items), the AV1 specification, section 5.5.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any

from trickbag.data.decoding.formats import DecodeError
from trickbag.data.decoding.jpeg2000 import boxes
from trickbag.data.decoding.lengths import LengthError
from trickbag.data.decoding.limits import require_pixels

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from PIL.ImageFile import ImageFile

__all__ = ["check_heif", "open_avif", "open_heic"]

_BOXES = (b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid")
"""The boxes that such a file has at its top."""

_EDGE = 64
"""The most pixels by which a coded image is larger than what is shown of it."""

_SEQUENCE_HEADER, _TEMPORAL_DELIMITER = 1, 2
"""Types of the units in which AV1 is stored."""


def open_avif(file: io.BytesIO) -> ImageFile:
    """Open an AVIF; DecodeError where this Pillow has no decoder of it."""
    image: ImageFile = _avif()(file)
    return image


def open_heic(file: io.BytesIO) -> ImageFile:
    """Open a HEIC; DecodeError without the extra `heif`."""
    image: ImageFile = _heic()(file)
    return image


@functools.cache
def _avif() -> Any:
    from PIL import AvifImagePlugin

    if not AvifImagePlugin.SUPPORTED:
        raise DecodeError("AVIF needs a Pillow that was built with it, as its wheels are")
    # Images are decoded side by side already; as many threads for each would exceed limits.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return AvifImagePlugin.AvifImageFile


@functools.cache
def _heic() -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise DecodeError("HEIC needs pip install trickbag[heif]") from None
    options: Any = pillow_heif.options
    options.DECODE_THREADS = 1
    # Of no use here, and each of them can be damaged.
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return pillow_heif.HeifImageFile


def check_heif(data: bytes, max_pixels: int) -> None:
    """Raise LengthError for an AVIF or HEIC that ends within a box, or lacks what it needs.

    So it does where an AVIF's container says another size than its pixels: its decoder would scale
    them. LimitError for images of more than `max_pixels`.
    """
    contents = _top_boxes(data)
    if not contents.keys() & {b"meta", b"moov"}:
        raise LengthError("truncated")
    if b"meta" not in contents:
        return
    start, end = contents[b"meta"]
    try:
        meta = {kind: (at, to) for kind, at, to in boxes(data, start + 4, end)}
        sizes = set(_container_sizes(data, *meta.get(b"iprp", (0, 0))))
        for width, height in sizes:
            if max(0, width - _EDGE) * max(0, height - _EDGE) > max_pixels:
                require_pixels(width, height, max_pixels)
        # Tiles and layers have sizes of their own.
        if not any(data.find(kind, start, end) >= 0 for kind in (b"grid", b"lsel", b"a1op")):
            coded = set(_coded_sizes(data, *meta.get(b"iloc", (0, 0))))
            if coded and not sizes <= coded:
                raise LengthError("another size than its header says")
    except (struct.error, IndexError):
        raise LengthError("truncated") from None


def _top_boxes(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Return where the content of each box at the top stands."""
    contents: dict[bytes, tuple[int, int]] = {}
    end = 0
    while end < len(data):
        try:
            kind, start, end = next(boxes(data, end, len(data)))
        except (LengthError, StopIteration, struct.error):
            # Bytes behind the last box are no damage.
            if data[end + 4 : end + 8] in _BOXES:
                raise LengthError("truncated") from None
            break
        contents.setdefault(kind, (start, end))
    return contents


def _container_sizes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the width and height of each image, as the box of item properties says them."""
    for kind, at, to in boxes(data, start, end):
        if kind == b"ipco":
            for inner, place, _ in boxes(data, at, to):
                if inner == b"ispe":
                    yield struct.unpack_from(">II", data, place + 4)


def _coded_sizes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the width and height of each item in AV1, as its own header says them."""
    for place in _item_places(data[start:end]):
        if size := _av1_size(data[place : place + 256]):
            yield size


def _item_places(iloc: bytes) -> Iterator[int]:
    """Yield where the data of each item begin that stand in the file itself."""
    if not iloc:
        return
    version, sizes, more_sizes = iloc[0], iloc[4], iloc[5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more_sizes >> 4
    index_size = more_sizes & 15 if version else 0
    number = 4 if version == 2 else 2
    count, position = int.from_bytes(iloc[6 : 6 + number], "big"), 6 + number
    for _ in range(count):
        position += number
        method = 0
        if version:
            method = iloc[position + 1] & 15
            position += 2
        position += 2
        base = int.from_bytes(iloc[position : position + base_size], "big")
        position += base_size
        extents = int.from_bytes(iloc[position : position + 2], "big")
        position += 2
        if position >= len(iloc):
            raise LengthError("truncated")
        first = position + index_size
        offset = int.from_bytes(iloc[first : first + offset_size], "big")
        if method == 0 and extents:
            yield base + offset
        position += extents * (index_size + offset_size + length_size)


def _av1_size(data: bytes) -> tuple[int, int] | None:
    """Read the largest frame's width and height from the sequence header at the start of an item.

    None for what is not AV1, or a header with a clock, which images have not.
    """
    position = 0
    while position + 2 <= len(data):
        head, position = data[position], position + 1
        if head & 0x82 != 2:  # each has its length
            return None
        position += head >> 2 & 1
        length = data[position]
        position += 1
        if length & 0x80:
            return None
        if head >> 3 == _SEQUENCE_HEADER:
            return _sequence_size(data[position : position + length])
        if head >> 3 != _TEMPORAL_DELIMITER:
            return None
        position += length
    return None


def _sequence_size(header: bytes) -> tuple[int, int] | None:
    bits = int.from_bytes(header, "big")
    left = 8 * len(header)

    def take(count: int) -> int:
        nonlocal left
        left -= count
        if left < 0:
            raise LengthError("truncated")
        return bits >> left & ((1 << count) - 1)

    take(4)  # the profile, whether it is a still picture
    if take(1):  # the short header of a still picture
        take(5)
    else:
        if take(1):  # a clock
            return None
        has_delay = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if has_delay and take(1):
                take(4)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    return take(width_bits) + 1, take(height_bits) + 1
