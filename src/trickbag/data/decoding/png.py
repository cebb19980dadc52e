"""Checks of a PNG file that Pillow leaves out: checksums, the end, the number of rows."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MISSING_ROWS", "MORE_ROWS", "PngError", "check_chunks", "check_rows", "chunks"]

MISSING_ROWS = "fewer rows than its header says"
MORE_ROWS = "more rows than its header says"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""The number of channels of each colour type of the header."""

_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""For each pass of an interlaced image: x and y of its first pixel, its steps in x and y."""

_PIECE = 1 << 20
"""Bytes that are decompressed at once: image data of any size then need little memory."""


class PngError(ValueError):
    """Report what is wrong with a PNG file."""


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield type, body and checksum of each complete chunk."""
    view, start = memoryview(data), 8
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(view[start : start + 4], "big")
        if end > len(data):
            return
        yield bytes(view[start + 4 : start + 8]), view[start + 8 : end - 4], view[end - 4 : end]
        start = end


def check_chunks(data: bytes) -> None:
    """Raise PngError unless every chunk up to the end chunk is complete and has its checksum.

    Pillow skips the checksums of image data, although damage there can decode to wrong pixels.
    Source: PNG specification, section 5.
    """
    for kind, body, checksum in chunks(data):
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise PngError(f"wrong checksum in chunk {kind.decode('ascii', 'replace')}")
        if kind == b"IEND":
            return
    raise PngError("truncated")


def check_rows(data: bytes) -> None:
    """Raise PngError if the image data is not as long as the rows that the header promises.

    Pillow fills missing rows with zeros, and leaves out what is too much.
    """
    needed, stream = 0, zlib.decompressobj()
    for kind, body, _ in chunks(data):
        if kind == b"IHDR":
            needed = _raw_size(body)
        elif kind == b"IDAT":
            piece: memoryview | bytes = body
            # A byte more than needed is enough to know that there are more rows.
            while len(piece) and needed >= 0 and not stream.eof:
                needed -= len(stream.decompress(piece, min(_PIECE, needed + 1)))
                piece = stream.unconsumed_tail
    if needed > 0:
        raise PngError(MISSING_ROWS)
    if needed < 0:
        raise PngError(MORE_ROWS)


def _raw_size(header: memoryview) -> int:
    """Count the bytes of an image before compression; each row has a filter byte before it."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS[colour]
    if not interlaced:
        return int(height * (1 + (width * bits + 7) // 8))
    size = 0
    for x, y, step_x, step_y in _PASSES:
        columns, rows = -((x - width) // step_x), -((y - height) // step_y)
        size += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return size
