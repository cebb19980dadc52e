"""The size of an image and its orientation, from the head of its file: nothing is decoded."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple, cast

import simplejpeg

from trickbag.data.decoding.decode import PLUGINS
from trickbag.data.decoding.formats import first_bytes_format
from trickbag.data.decoding.pixels import TURNED, exif_orientation, jpeg_exif
from trickbag.paths import FileKind, open_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Header", "read_header"]

_IMAGE = FileKind("an image", None)
_HEAD_BYTES = 2**17
"""How much of a JPEG is read first: its EXIF block has at most half as much."""


class Header(NamedTuple):
    """Height and width of the upright image in pixels, and the EXIF orientation, 1 to 8.

    The orientation is that of the pixels as they are stored; it is 1 where the format turns them by
    itself.
    """

    height: int
    width: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the image as its pixels are stored."""
        sides = self.height, self.width
        return sides[::-1] if self.orientation >= TURNED else sides


def read_header(path: Path) -> Header | None:
    """Read the size of an image; None for a file that is none, or whose head is damaged.

    What is wrong with such a file the decoder says.
    """
    try:
        with open_regular(path, _IMAGE) as file:
            head = file.read(_HEAD_BYTES)
            kind = first_bytes_format(head)
            if kind == "JPEG":
                return _jpeg(head) or _jpeg(head + file.read())
            file.seek(0)
            # TGA has no signature.
            with PLUGINS[kind or "TGA"](cast("io.BytesIO", file)) as image:
                width, height = image.size
                turns = kind not in ("TIFF", "HEIC")
                orientation = exif_orientation(image.info.get("exif", b"")) if turns else 1
    except Exception:
        # What opens a damaged file raises almost anything.
        return None
    return _header(height, width, orientation)


def _jpeg(data: bytes) -> Header | None:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return _header(height, width, exif_orientation(jpeg_exif(data)))


def _header(height: int, width: int, orientation: int) -> Header | None:
    if height < 1 or width < 1:
        return None
    if orientation >= TURNED:
        height, width = width, height
    return Header(height, width, orientation)
