"""Decoded pixels to upright 8-bit RGB: colour modes of Pillow, and the EXIF orientation.

Shapes: H and W pixels, B bands.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TURNED", "exif_orientation", "jpeg_exif", "to_rgb", "turned_back", "upright"]

TURNED = 5
"""The EXIF orientations from which on height and width are exchanged."""

_ORIENTATION_TAG = 0x0112
_SHORT = 3
"""The code of an unsigned 16-bit integer among EXIF's types of values."""

_STRIP_PIXELS = 1 << 22
"""Pixels that are converted at once: a conversion takes several times their memory."""

_ORIENTATIONS = (
    (0, False),
    (0, True),
    (2, False),
    (2, True),
    (3, True),
    (1, False),
    (1, True),
    (3, False),
)
"""For each value, 1 to 8, of the EXIF orientation tag: the clockwise quarter turns that make the
image upright, and whether it is mirrored left to right before them."""


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a loaded image of any Pillow mode of 8 bits to uint8 (H, W, 3) in RGB.

    Grey, palette and CMYK become RGB, transparency is laid over white.
    """
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return _strip_to_rgb(image)
    pixels_HW3 = np.empty((height, width, 3), np.uint8)
    # By a table of all colours, which is much faster.
    colours = _palette_colours(image) if image.mode == "P" else None
    for top in range(0, height, rows):
        end = min(top + rows, height)
        strip = image.crop((0, top, width, end))
        pixels_HW3[top:end] = (
            _strip_to_rgb(strip) if colours is None else colours[np.asarray(strip)]
        )
    return pixels_HW3


def _palette_colours(image: Image.Image) -> NDArray[np.uint8]:
    """Return what each of 256 values of a palette image becomes, uint8 (256, 3)."""
    # Values beyond a short palette are as Pillow has them.
    values = image.resize((256, 1))
    values.frombytes(bytes(range(256)))
    return _strip_to_rgb(values).reshape(256, 3)


def _strip_to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        if image.mode in ("La", "RGBa"):
            # Premultiplied alpha converts to nothing but its own mode without premultiplication.
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def upright(pixels_HWB: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror pixels as a value, 1 to 8, of the EXIF orientation tag says."""
    turns, mirrored = _ORIENTATIONS[orientation - 1]
    # numpy turns counterclockwise, the table clockwise.
    turned = np.rot90(pixels_HWB[:, ::-1] if mirrored else pixels_HWB, -turns)
    return np.ascontiguousarray(turned)


def turned_back(
    box: tuple[int, int, int, int], stored: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Return where a box of an upright image lies in its pixels as they are stored.

    Boxes are left, top, right, bottom; `stored` is height and width of the stored image.
    """
    turns, mirrored = _ORIENTATIONS[orientation - 1]
    left, top, right, bottom = box
    width = stored[0] if turns % 2 else stored[1]
    for _ in range(turns):
        left, top, right, bottom = top, width - right, bottom, width - left
        width = stored[0] + stored[1] - width
    if mirrored:
        left, right = stored[1] - right, stored[1] - left
    return left, top, right, bottom


def exif_orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from an EXIF block, with or without its `Exif` prefix.

    Returns 1, upright, where the block or its value is not valid: images with a damaged orientation
    are common, and viewers show them as they are.
    """
    tiff = exif[6:] if exif.startswith(b"Exif\0") else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == _ORIENTATION_TAG:
                return value if kind == _SHORT and number == 1 and 1 <= value <= 8 else 1
    except struct.error:
        # The block ends before the entries that it claims to have.
        pass
    return 1


def jpeg_exif(data: bytes) -> bytes:
    """Return the body of a JPEG's first APP1 segment that holds EXIF; nothing if there is none."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:
            # A fill byte: the format allows any number of them before a marker.
            position += 1
            continue
        if marker == 0xDA or length < 2:
            # The scan, behind which no metadata follows, or damage.
            break
        body = data[position + 4 : position + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            return body
        position += 2 + length
    return b""
