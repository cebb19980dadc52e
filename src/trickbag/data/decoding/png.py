"""The parts of a PNG file's structure that Pillow does not look at: checksums, the end, and the
number of rows."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MISSING_ROWS", "PngError", "check_chunks", "check_rows"]

MISSING_ROWS = "fewer rows than its header says"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# x and y of the first pixel, and the steps in x and y, of each pass of an interlaced image
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_PIECE = 1 << 20


class PngError(ValueError):
    """Report what is wrong with a PNG file."""


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Give type, body and checksum of each chunk that is there whole."""
    view, place = memoryview(data), 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(view[place : place + 4], "big")
        if end > len(data):
            return
        yield bytes(view[place + 4 : place + 8]), view[place + 8 : end - 4], view[end - 4 : end]
        place = end


def check_chunks(data: bytes) -> None:
    """Raise PngError unless every chunk is whole and its checksum right, down to the end chunk.

    Pillow skips the checksums of image data, where damage can decode to wrong pixels (PNG
    specification, section 5).
    """
    for kind, body, checksum in _chunks(data):
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise PngError(f"wrong checksum in chunk {kind.decode('ascii', 'replace')}")
        if kind == b"IEND":
            return
    raise PngError("truncated")


def check_rows(data: bytes) -> None:
    """Raise PngError where the image data is too short for the header's rows; Pillow leaves the
    others at zero."""
    needed, stream = 0, zlib.decompressobj()
    for kind, body, _ in _chunks(data):
        if kind == b"IHDR":
            needed = _raw_size(body)
        elif kind == b"IDAT":
            piece: memoryview | bytes = body
            while len(piece) and needed > 0 and not stream.eof:
                needed -= len(stream.decompress(piece, _PIECE))
                piece = stream.unconsumed_tail
    if needed > 0:
        raise PngError(MISSING_ROWS)


def _raw_size(header: memoryview) -> int:
    """Count the bytes of an image before compression: its rows, each behind its filter byte."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS[colour]
    if not interlaced:
        return int(height * (1 + (width * bits + 7) // 8))
    size = 0
    for x, y, step_x, step_y in _PASSES:
        columns, rows = -((x - width) // step_x), -((y - height) // step_y)
        size += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return size
