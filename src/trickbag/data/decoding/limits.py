"""What an image may take: pixels, memory and scans, all known from its header.

Shapes: H and W pixels.
"""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING

from trickbag.memory import usable_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MAX_PIXELS",
    "MAX_SCANS",
    "LimitError",
    "decoding_memory",
    "hold_memory",
    "require_file_size",
    "require_pixels",
    "require_scans",
    "webp_size",
]

MAX_PIXELS = 178_956_970
"""The default of `data.max_pixels`: 512 MiB as RGB, and where Pillow takes an image for a bomb."""

MAX_SCANS = 100
"""The most scans of a JPEG; libjpeg's own tools write no more, usual files have about ten."""

_FULL_SCANS = 20
"""The most scans of an image of `max_pixels`: each goes through all of the image."""

_BYTES_A_PIXEL = 12
"""The memory that decoding may take for each of `max_pixels`."""

_DECODING_BYTES = {
    **{"JPEG": 12, "PNG": 10, "GIF": 8, "BMP": 12, "TIFF": 10, "WebP": 24},
    **{"AVIF": 20, "HEIC": 20, "JPEG 2000": 24, "PNM": 16, "TGA": 16},
}
"""The memory that decoding takes for each pixel: decoder, Pillow's image, RGB, turned RGB."""

_SMALL = 64 * 2**20
"""Bytes below which decoding takes no share of the memory."""

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class LimitError(ValueError):
    """Report an image that is larger than it may be."""


def require_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise LimitError for a size of no pixels, or of more than `max_pixels`."""
    if width * height > max_pixels:
        raise LimitError(
            f"{width:,} x {height:,} pixels by its header, more than data.max_pixels = "
            f"{max_pixels:,} (a decompression bomb?)"
        )
    if width < 1 or height < 1:
        raise LimitError("no pixels by its header")


def decoding_memory(
    kind: str, width: int, height: int, max_pixels: int, block_bytes: int = 0
) -> int:
    """Return the bytes that decoding takes; `block_bytes` for a piece that is decoded as a whole.

    Raises LimitError for more than 12 bytes for each of `max_pixels`.
    """
    needed = width * height * _DECODING_BYTES[kind] + block_bytes
    if needed > _BYTES_A_PIXEL * max_pixels:
        raise LimitError(
            f"decoding it takes {needed / 2**30:.1f} GiB, more than {_BYTES_A_PIXEL} bytes for "
            f"each of data.max_pixels = {max_pixels:,}"
        )
    return needed


def require_file_size(size: int, max_pixels: int) -> None:
    """Raise LimitError for a file of more bytes than decoding may take."""
    if size > _BYTES_A_PIXEL * max_pixels:
        raise LimitError(
            f"a file of {size / 2**30:.1f} GiB, more than {_BYTES_A_PIXEL} bytes for each of "
            f"data.max_pixels = {max_pixels:,}"
        )


def require_scans(data: bytes, width: int, height: int, max_pixels: int) -> None:
    """Raise LimitError for a JPEG of so many scans that decoding it takes very long."""
    pixels = width * height
    most = min(MAX_SCANS, max(1, _FULL_SCANS * max_pixels // max(1, pixels)))
    # Metadata can hold these two bytes too: they are counted exactly only where they are many.
    if data.count(b"\xff\xda") <= most:
        return
    scans = _scans(data)
    if scans > most:
        raise LimitError(f"{scans} scans of {pixels:,} pixels, more than {most}")


def _scans(data: bytes) -> int:
    scans, position = 0, 2
    while marker := _NEXT_MARKER.search(data, position):
        position = marker.end()
        if marker[0] == b"\xff\xd9":
            break
        scans += marker[0] == b"\xff\xda"
        position += int.from_bytes(data[position : position + 2], "big")
    return scans


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP by its header; None where it is too short.

    Pillow's decoder allocates memory for them as soon as a file is opened.
    """
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return width, height


class _SharedMemory:
    """Lets the threads of a process decode large images only as fast as their memory allows."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._in_use = 0
        # A quarter of the machine's memory; one image alone may always be decoded.
        self._limit = usable_memory() // 4

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        with self._free:
            self._free.wait_for(lambda: not self._in_use or self._in_use + size <= self._limit)
            self._in_use += size
        try:
            yield
        finally:
            with self._free:
                self._in_use -= size
                self._free.notify_all()


_memory = _SharedMemory()


def hold_memory(size: int) -> contextlib.AbstractContextManager[None]:
    """Return a context that takes so many bytes of what the threads of a process share.

    It waits until they are free.
    """
    return _memory.hold(size) if size > _SMALL else contextlib.nullcontext()
