"""How many pages or frames an image file has, of which the first alone is decoded."""

from __future__ import annotations

import io
import re
import struct
from typing import TYPE_CHECKING

from trickbag.data.decoding.heif import open_avif, open_heic
from trickbag.data.decoding.jpeg2000 import boxes
from trickbag.data.decoding.lengths import LengthError, blocks_end, colour_table_bytes
from trickbag.data.decoding.netpbm import count_pnm
from trickbag.data.decoding.png import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["count_frames", "is_preview"]

_SUBFILE_TYPE, _SUB_DIRECTORIES = 254, 330
_REDUCED, _MASK = 1, 4
"""What the tag of a TIFF's subfile type can say of a page; 2 is a page of a document."""

_MPF = re.compile(rb"\xff\xe2..MPF\0", re.DOTALL)
_MP_ENTRIES = 0xB002
_THUMBNAIL = 1
"""The class of an entry of a Multi-Picture Format that is a smaller copy of the first."""


def count_frames(data: bytes, kind: str) -> int:
    """Return the pages or frames of a file, 1 for an image that is alone.

    Pages of a TIFF and pictures of an MPO that say that they are smaller copies of another, and
    masks, are not counted. The file is one that `decode` takes; further frames may be damaged.
    """
    count = _COUNTERS.get(kind)
    if count is None:
        return 1
    try:
        return max(1, count(data))
    except (LengthError, struct.error, IndexError, OSError, SyntaxError, ValueError):
        # Behind the first frame, which is whole, the file is damaged.
        return 1


def is_preview(data: bytes) -> bool:
    """Tell whether a TIFF's first page is a small copy of pixels that stand elsewhere in it.

    So it is in the raw files of cameras (DNG, NEF, ARW).
    """
    pages = _tiff_pages(data)
    try:
        first = next(pages, {})
        reduced = first.get(_SUBFILE_TYPE, 0) & _REDUCED
        further = _SUB_DIRECTORIES in first or next(pages, None) is not None
    except struct.error:
        return False
    return bool(reduced and further)


def _count_tiff(data: bytes) -> int:
    count = 0
    try:
        for page in _tiff_pages(data):
            count += not page.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK)
    except struct.error:
        # The chain of pages leads out of the file.
        pass
    return count


def _tiff_pages(data: bytes) -> Iterator[dict[int, int]]:
    """Yield the tags of each page in the chain, with the values that stand in their entries.

    Raises struct.error where the chain leads out of the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    offset_form, count_form, entry = ("Q", "Q", 20) if is_big else ("I", "H", 12)
    (start,) = struct.unpack_from(order + offset_form, data, 8 if is_big else 4)
    seen: set[int] = set()
    left = len(data)
    while start and start not in seen:
        seen.add(start)
        (count,) = struct.unpack_from(order + count_form, data, start)
        # Pages lie apart from each other; those that do not could take for ever.
        left -= entry * count + 2
        if left < 0:
            return
        first = start + struct.calcsize(count_form)
        tags = {}
        for at in range(first, first + entry * count, entry):
            tag, kind = struct.unpack_from(f"{order}HH", data, at)
            value_form = "H" if kind == 3 else "I"
            (tags[tag],) = struct.unpack_from(order + value_form, data, at + (12 if is_big else 8))
        yield tags
        (start,) = struct.unpack_from(order + offset_form, data, first + entry * count)


def _count_gif(data: bytes) -> int:
    count, position = 0, 13 + colour_table_bytes(data[10])
    try:
        while data[position] != 0x3B:
            if data[position] == 0x21:  # an extension
                position = blocks_end(data, position + 2)
            elif data[position] == 0x2C:
                start = position + 10 + colour_table_bytes(data[position + 9])
                position = blocks_end(data, start + 1)
                count += 1
            else:
                break
    except IndexError:
        # The file ends within a later frame.
        pass
    return count


def _count_png(data: bytes) -> int:
    """Count the frames of an animation, and the image before them that is none of them."""
    kinds = [kind for kind, _, _ in chunks(data)]
    if b"acTL" not in kinds:
        return 1
    is_frame = b"fcTL" in kinds[: kinds.index(b"IDAT")]
    return kinds.count(b"fcTL") + (not is_frame)


def _count_webp(data: bytes) -> int:
    count, position = 0, 12
    while position + 8 <= len(data):
        count += data[position : position + 4] == b"ANMF"
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return count


def _count_jpeg(data: bytes) -> int:
    """Count the pictures of a Multi-Picture Format, such as an MPO.

    Source: CIPA DC-007, section 5.
    """
    mark = _MPF.search(data, 0, 1 << 18)
    if mark is None:
        return 1
    start = mark.end()
    order = "<" if data[start : start + 2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, start + 4)
    (tags,) = struct.unpack_from(f"{order}H", data, start + directory)
    for at in range(start + directory + 2, start + directory + 2 + 12 * tags, 12):
        tag, _, size, place = struct.unpack_from(f"{order}HHII", data, at)
        if tag == _MP_ENTRIES:
            kinds = [
                struct.unpack_from(f"{order}I", data, entry)[0]
                for entry in range(start + place, start + place + size, 16)
            ]
            return sum((kind & 0xFFFFFF) >> 16 != _THUMBNAIL for kind in kinds)
    return 1


def _count_jpeg2000(data: bytes) -> int:
    return sum(kind == b"jp2c" for kind, _, _ in boxes(data, 0, len(data)))


def _count_avif(data: bytes) -> int:
    with open_avif(io.BytesIO(data)) as image:
        return int(getattr(image, "n_frames", 1))


def _count_heic(data: bytes) -> int:
    with open_heic(io.BytesIO(data)) as image:
        return int(getattr(image, "n_frames", 1))


_COUNTERS: Mapping[str, Callable[[bytes], int]] = {
    "TIFF": _count_tiff,
    "GIF": _count_gif,
    "PNG": _count_png,
    "WebP": _count_webp,
    "JPEG": _count_jpeg,
    "JPEG 2000": _count_jpeg2000,
    "AVIF": _count_avif,
    "HEIC": _count_heic,
    "PNM": count_pnm,
}
