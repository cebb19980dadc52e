"""Lengths that a file says of itself, held against the data that are there.

Formats without a checksum notice damage by these alone.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "FEWER",
    "MORE",
    "PADDING",
    "LengthError",
    "blocks_end",
    "check_bmp",
    "check_riff",
    "check_tga",
    "check_tiff",
    "colour_table_bytes",
    "gif_frame",
    "tiff_block_bytes",
]

PADDING = 3
"""The most bytes that writers add behind pixels: to a multiple of two or four."""

MORE, FEWER = "more pixels than its header says", "fewer pixels than its header says"

_NONE, _DEFLATE = 1, (8, 32946)
"""Codes of TIFF's compressions."""

_YCBCR = 6

_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


class LengthError(ValueError):
    """Report a length that contradicts the data, or another length."""


def check_bmp(data: bytes) -> None:
    """Raise LengthError where the lengths in a BMP's header and its size contradict each other."""
    try:
        size, _, offset, header = struct.unpack_from("<4I", data, 2)
        if header == 12:  # of OS/2, with 16-bit sizes
            width, height, _, bits = struct.unpack_from("<4H", data, 18)
            compression = pixels = 0
        else:
            width, height, _, bits, compression, pixels = struct.unpack_from("<iiHHII", data, 18)
    except struct.error:
        raise LengthError("truncated") from None
    if header not in (12, *range(40, 125)):
        # Another form, which Pillow knows or refuses.
        return
    if offset < 14 + header:
        raise LengthError("its pixels begin within its header")
    if size > len(data):
        raise LengthError("truncated")
    if compression not in (0, 3, 6):  # run lengths: how many bytes there are is not known before
        if pixels > len(data) - offset:
            raise LengthError("truncated")
        return
    needed = (width * bits + 31) // 32 * 4 * abs(height)
    if (size and offset + needed > size) or (pixels and needed > pixels):
        raise LengthError(FEWER)
    has_profile = header >= 124
    if (size and size > offset + needed + PADDING and not has_profile) or (
        pixels > needed + PADDING
    ):
        raise LengthError(MORE)


def check_riff(data: bytes) -> None:
    """Raise LengthError unless the chunks of a WebP fill the length that its header says."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:
        raise LengthError("truncated")
    position = 12
    while position + 8 <= end:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
        # The last byte of padding may be missing.
        if position > end + 1:
            raise LengthError("a chunk is longer than the file says")
    if position < end:
        raise LengthError("bytes behind the last chunk")


def check_tga(data: bytes) -> None:
    """Raise LengthError where a TGA has not as many pixels as its header says.

    Source: Truevision TGA File Format Specification, version 2.0.
    """
    try:
        name, has_palette, kind, _, colours, colour_bits = struct.unpack_from("<BBBHHB", data)
        width, height, depth = struct.unpack_from("<HHB", data, 12)
    except struct.error:
        raise LengthError("truncated") from None
    start = 18 + name + (colours * ((colour_bits + 7) // 8) if has_palette else 0)
    size = (depth + 7) // 8
    if kind & 8:
        end = _tga_packets_end(data, start, size, width * height)
    else:
        end = start + size * width * height
    if end > len(data):
        raise LengthError("truncated")
    # Only with a footer that says so may further areas stand behind the pixels.
    behind = len(data)
    if data.endswith(_TGA_FOOTER):
        areas = struct.unpack_from("<II", data, len(data) - 26)
        behind = end if any(areas) else len(data) - 26
    if behind > end + PADDING:
        raise LengthError(MORE)
    if behind < end:
        raise LengthError(FEWER)


def _tga_packets_end(data: bytes, start: int, size: int, pixels: int) -> int:
    """Return where the run-length packets of so many pixels end."""
    while pixels > 0:
        if start >= len(data):
            raise LengthError("truncated")
        count = (data[start] & 127) + 1
        start += 1 + size * (1 if data[start] & 128 else count)
        pixels -= count
    if pixels:
        raise LengthError(MORE)
    return start


def gif_frame(data: bytes) -> tuple[int, int, bytes]:
    """Return the width and the height of a GIF's first frame, and its compressed pixels.

    These begin with the byte of the code size, and end with the empty block. Raises LengthError
    for a file that ends before.
    """
    try:
        position = 13 + colour_table_bytes(data[10])
        while data[position] == 0x21:  # an extension
            position = blocks_end(data, position + 2)
        if data[position] != 0x2C:
            raise LengthError("no image")
        _, _, width, height, flags = struct.unpack_from("<4HB", data, position + 1)
        start = position + 10 + colour_table_bytes(flags)
        return width, height, data[start : blocks_end(data, start + 1)]
    except (IndexError, struct.error):
        raise LengthError("truncated") from None


def colour_table_bytes(flags: int) -> int:
    """Return the size of a GIF's table of colours by the byte that announces it."""
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0


def blocks_end(data: bytes, position: int) -> int:
    """Return where a GIF's chain of blocks ends, behind the empty block."""
    while size := data[position]:
        position += 1 + size
    return position + 1


def tiff_block_bytes(tags: Mapping[int, Any]) -> int:
    """Return the bytes of a TIFF's strip or tile, which libtiff decodes as a whole."""
    width, height, rows = _block_shape(tags)
    return _row_bytes(tags, width) * min(rows, height)


def _block_shape(tags: Mapping[int, Any]) -> tuple[int, int, int]:
    """Return the width of a block, the height of the image (of a tile), and the block's rows."""
    if 322 in tags:
        return int(tags[322]), int(tags[323]), int(tags[323])
    height = int(tags[257])
    return int(tags[256]), height, int(tags.get(278) or height)


def _row_bytes(tags: Mapping[int, Any], width: int) -> int:
    bits = tags.get(258, (1,))
    depth = max(bits) if isinstance(bits, tuple) else int(bits)
    planes = 1 if tags.get(284, 1) == 2 else int(tags.get(277, 1))
    return (width * depth * planes + 7) // 8


def check_tiff(data: bytes, tags: Mapping[int, Any]) -> None:
    """Raise LengthError where the strips or tiles of a TIFF's first image do not fit its size.

    `tags` are those of the image by their number. Strips that are not compressed must be as long as
    their rows; those of Deflate are decompressed for it.
    """
    kind = (324, 325) if 322 in tags else (273, 279)
    if not all(tag in tags for tag in kind):
        return
    blocks = list(zip(*(_numbers(tags[tag]) for tag in kind), strict=False))
    if any(offset + count > len(data) for offset, count in blocks):
        raise LengthError("truncated")
    _require_apart(blocks)
    if len(blocks) != _block_count(tags):
        raise LengthError(f"{len(blocks)} strips or tiles for {_block_count(tags)} of its size")
    compression = tags.get(259, _NONE)
    if tags.get(262) == _YCBCR or compression not in (_NONE, *_DEFLATE):
        return
    if compression == _NONE and not any(count for _, count in blocks):
        # Some writers leave the lengths open.
        return
    for (offset, count), (least, most) in zip(blocks, _expected(tags, len(blocks)), strict=True):
        length = count
        if compression in _DEFLATE:
            length = _inflated(data[offset : offset + count], most + 1)
        if length < least:
            raise LengthError(FEWER)
        if length > most + PADDING * (compression == _NONE):
            raise LengthError(MORE)


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(map(int, value)) if isinstance(value, tuple) else (int(value),)


def _require_apart(blocks: Sequence[tuple[int, int]]) -> None:
    # Equal blocks may share their data.
    for (offset, count), (following, _) in itertools.pairwise(sorted(set(blocks))):
        if offset + count > following:
            raise LengthError("strips or tiles that overlap")


def _block_count(tags: Mapping[int, Any]) -> int:
    width, height = int(tags[256]), int(tags[257])
    planes = int(tags.get(277, 1)) if tags.get(284, 1) == 2 else 1
    if 322 in tags:
        return -(-width // int(tags[322])) * -(-height // int(tags[323])) * planes
    return -(-height // min(_block_shape(tags)[2], height)) * planes


def _expected(tags: Mapping[int, Any], count: int) -> list[tuple[int, int]]:
    """Return the least and the most bytes of each block."""
    block = tiff_block_bytes(tags)
    if 322 in tags:
        return [(block, block)] * count
    width, height, rows = _block_shape(tags)
    strips = -(-height // min(rows, height))
    last = _row_bytes(tags, width) * (height - (strips - 1) * min(rows, height))
    # The last strip may be filled up to the length of the others.
    return [(last, block) if i % strips == strips - 1 else (block, block) for i in range(count)]


def _inflated(data: bytes, most: int) -> int:
    """Return how many bytes a Deflate stream holds; at most `most` are counted."""
    stream = zlib.decompressobj()
    length, piece = 0, data
    while length < most and not stream.eof:
        part = stream.decompress(piece, min(1 << 20, most - length))
        if not part and not stream.unconsumed_tail:
            break
        length, piece = length + len(part), stream.unconsumed_tail
    return length
