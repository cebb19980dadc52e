"""Lengths that a JPEG 2000 says of itself, held against the data that are there.

Source: ISO/IEC 15444-1, annexes A (codestream) and I (boxes of a JP2).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.decoding.lengths import FEWER, LengthError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["boxes", "check_jpeg2000"]

_COD, _TILE_PART, _DATA = 0xFF52, 0xFF90, 0xFF93

_BLOCK_BYTES, _TILE_BYTES = 512, 8192
"""What the decoder keeps for each block and each precinct, and for each tile, beside its values."""


class _Size(NamedTuple):
    """The image's and the tiles' size, and the steps of each component's samples in x and y."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    tiles: int
    components: tuple[tuple[int, int], ...]


class _Coding(NamedTuple):
    """How a tile is coded: quality layers, resolutions, area of a block, size of precincts."""

    layers: int
    levels: int
    block: int
    precincts: tuple[tuple[int, int], ...]


def check_jpeg2000(data: bytes) -> int:
    """Raise LengthError where the lengths in a JPEG 2000 contradict each other or the data.

    Returns the memory in bytes that its blocks and tiles take, beside that of the pixels.
    """
    try:
        return _check(data)
    except struct.error:
        raise LengthError("truncated") from None


def _check(data: bytes) -> int:
    start, end, size_by_box = 0, len(data), None
    if not data.startswith(b"\xff\x4f"):
        start, end, size_by_box = _codestream(data)
    if data[start : start + 4] != b"\xff\x4f\xff\x51":
        raise LengthError("no codestream")
    size = _size(data, start + 4)
    if size_by_box not in (None, (size.height, size.width)):
        raise LengthError("sizes that contradict each other")
    main, tiles, position = None, set(), start + 2
    memory = size.tiles * _TILE_BYTES
    for marker, body in _segments(data, position, end):
        if marker == _COD:
            main = _coding(body)
            memory += _block_memory(size, main, len(data))
        position = body.start + body.length
    if main is None:
        raise LengthError("no coding style")
    while data[position : position + 2] == b"\xff\x90":
        _, tile, length, _, _ = struct.unpack_from(">HHIBB", data, position + 2)
        tiles.add(tile)
        tile_end = position + length if length else end
        for marker, body in _segments(data, position + 12, min(tile_end, end)):
            if marker == _COD:
                # Of this tile alone.
                memory += _block_memory(size._replace(tiles=1), _coding(body), len(data))
        # The last one may leave its length open.
        position = position + length if length else end - 2
        if length and length < 14:
            raise LengthError("a tile-part shorter than its header")
    if data[position : position + 2] != b"\xff\xd9" or position + 2 > end:
        raise LengthError("truncated" if position + 2 >= end else "tile-parts of another length")
    if len(tiles) != size.tiles or max(tiles) >= size.tiles:
        raise LengthError(FEWER)
    return memory


class _Body(NamedTuple):
    """A marker segment behind its length: the data, where it begins and its length."""

    data: bytes
    start: int
    length: int


def _segments(data: bytes, position: int, end: int) -> Iterator[tuple[int, _Body]]:
    """Yield the marker segments of a header, up to the first tile-part or its data."""
    while True:
        marker, length = struct.unpack_from(">HH", data, position)
        if marker in (_TILE_PART, _DATA):
            return
        if marker < 0xFF00 or length < 2 or position + 2 + length > end:
            raise LengthError("a marker segment that is longer than the file, or damaged")
        yield marker, _Body(data, position + 4, length - 2)
        position += 2 + length


def _codestream(data: bytes) -> tuple[int, int, tuple[int, int] | None]:
    """Return start and end of a JP2's codestream, and the (height, width) that its header says."""
    size = None
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, at, _ in boxes(data, start, end):
                if inner == b"ihdr":
                    height, width = struct.unpack_from(">II", data, at)
                    size = height, width
        elif kind == b"jp2c":
            if size is None:
                raise LengthError("no header before its codestream")
            return start, end, size
    raise LengthError("truncated")


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box; LengthError for one beyond `end`."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, start + 8), 16
        elif length == 0:
            length = end - start
        if length < head:
            raise LengthError("a box that is shorter than its header")
        if start + length > end:
            raise LengthError("truncated")
        yield kind, start + head, start + length
        start += length


def _size(data: bytes, start: int) -> _Size:
    _, _, right, bottom, left, top, width, height, tile_left, tile_top, components = (
        struct.unpack_from(">HHIIIIIIIIH", data, start)
    )
    steps = struct.unpack_from(f">{3 * components}B", data, start + 38)
    if (
        right <= left
        or bottom <= top
        or not all((width, height, components, *steps[1::3], *steps[2::3]))
    ):
        raise LengthError("no pixels by its header")
    columns, rows = -((tile_left - right) // width), -((tile_top - bottom) // height)
    return _Size(
        right - left,
        bottom - top,
        min(width, right - left),
        min(height, bottom - top),
        columns * rows,
        tuple(zip(steps[1::3], steps[2::3], strict=True)),
    )


def _coding(body: _Body) -> _Coding:
    style, _, layers, _, levels, width, height = struct.unpack_from(
        ">BBHBBBB", body.data, body.start
    )
    if levels > 32 or width > 8 or height > 8:
        raise LengthError("a coding style that does not exist")
    sizes = [0xFF] * (levels + 1)
    if style & 1:
        sizes = list(struct.unpack_from(f">{levels + 1}B", body.data, body.start + 10))
    precincts = tuple((value & 15, value >> 4) for value in sizes)
    return _Coding(layers, levels, 1 << (width + height + 4), precincts)


def _block_memory(size: _Size, coding: _Coding, length: int) -> int:
    """Return the memory of blocks and precincts; LengthError for more packets than bytes."""
    # Tiles at the edges may be smaller: without them, as the least that there is.
    columns, rows = size.width // size.tile_width, size.height // size.tile_height
    precincts = blocks = 0
    for x, y in size.components:
        width, height = -(-size.tile_width // x), -(-size.tile_height // y)
        blocks += width * height // coding.block + 1
        for i, (wide, high) in enumerate(coding.precincts):
            shift = coding.levels - i
            precincts += -(-width >> (shift + wide)) * -(-height >> (shift + high))
    tiles = min(size.tiles, max(1, columns * rows))
    # Each packet has a byte at least.
    if precincts * tiles * coding.layers > length:
        raise LengthError(FEWER)
    return (blocks + precincts) * tiles * _BLOCK_BYTES
