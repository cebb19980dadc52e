"""The part of an image that a crop needs, with the pixels that the whole image has there.

Shapes: H and W pixels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import simplejpeg

from trickbag.data.decoding.decode import decode
from trickbag.data.decoding.formats import image_format
from trickbag.data.decoding.jpeg_layout import JpegLayout, jpeg_layout
from trickbag.data.decoding.limits import (
    MAX_PIXELS,
    LimitError,
    decoding_memory,
    hold_memory,
    require_pixels,
)
from trickbag.data.decoding.pixel_format import RGB, PixelFormat
from trickbag.data.decoding.pixels import TURNED, exif_orientation, turned_back, upright
from trickbag.data.decoding.turbojpeg import Region, turbojpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.data.decoding.turbojpeg import TurboJpeg

__all__ = ["Box", "Boxed", "cut", "decode_box"]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are excluded."""

_REST = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd[0-79]")
"""What the decoder says of the rows that are not asked of it.

It tells the first fault that it meets: of the rows before them there is none.
"""

_NEXT_SAMPLE = 2
"""How many pixels away a sample of a colour is that has a share in a pixel."""


class Boxed(Protocol):
    """What has a box of an image, and perhaps says what becomes of it."""

    @property
    def box(self) -> Box:
        """The box in pixels of the upright image."""


Drawn = TypeVar("Drawn", bound=Boxed)


def cut(image_HWC: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut a box out of an image: a view of its pixels."""
    left, top, right, bottom = box
    return image_HWC[top:bottom, left:right]


def decode_box(
    data: bytes,
    draw: Callable[[int, int], Drawn],
    max_pixels: int = MAX_PIXELS,
    *,
    verified: bool = False,
    form: PixelFormat = RGB,
) -> tuple[Drawn, NDArray[np.uint8]]:
    """Draw a box from height and width of an image, and decode it: uint8 (H, W, C) of the box.

    `draw` gives the same for the same numbers. The pixels are those of `decode`. Of a JPEG in one
    scan that is `verified` no row below the box is decoded, and with the library TurboJPEG nothing
    beside it; damage there is not noticed. Raises DecodeError as `decode`.
    """
    if verified and _is_rgb(form) and image_format(data) == "JPEG":
        layout = jpeg_layout(data)
        if layout is not None and _can_be_cut(layout, max_pixels):
            orientation = exif_orientation(layout.exif)
            sides = layout.height, layout.width
            drawn = draw(*(sides[::-1] if orientation >= TURNED else sides))
            box = turned_back(drawn.box, sides, orientation)
            try:
                pixels = _decoded(data, layout, box, max_pixels)
                return drawn, pixels if orientation == 1 else upright(pixels, orientation)
            except (ValueError, MemoryError):
                # Decoded as a whole below, which says what is wrong with it.
                pass
    pixels = decode(data, max_pixels, verified=verified, form=form)
    drawn = draw(*pixels.shape[:2])
    return drawn, cut(pixels, drawn.box)


def _is_rgb(form: PixelFormat) -> bool:
    return form.channels is None and form.range_of("uint8") == (0.0, 255.0)


def _can_be_cut(layout: JpegLayout, max_pixels: int) -> bool:
    """Tell whether rows of a JPEG can be left out, and its size is one that is decoded at all."""
    try:
        require_pixels(layout.width, layout.height, max_pixels)
        decoding_memory("JPEG", layout.width, layout.height, max_pixels)
    except LimitError:
        return False
    return layout.single_scan and layout.components in (1, 3)


def _decoded(data: bytes, layout: JpegLayout, box: Box, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a box of a JPEG as it is stored; ValueError for damage."""
    down, across = layout.unit
    # Where colours have fewer samples than pixels, the next sample has a share in a pixel.
    around = _NEXT_SAMPLE if layout.is_upsampled else 0
    left, top, right, bottom = box
    end = min(_up(bottom + around, down), layout.height)
    needed = data
    if end < layout.height:
        # A shorter image by its header: the decoder skips the codes of the rest.
        at = layout.size_at
        needed = data[:at] + end.to_bytes(2, "big") + data[at + 2 :]
    with hold_memory(decoding_memory("JPEG", layout.width, end, max_pixels)):
        if (library := turbojpeg()) is None:
            return _rows(needed, end, layout.width)[top:bottom, left:right]
        first_row = _down(max(0, top - around), down)
        first_column = _down(max(0, left - around), across)
        last_column = min(_up(right + around, across), layout.width)
        region = Region(first_column, first_row, last_column - first_column, end - first_row)
        pixels = _region(library, needed, region)
    return pixels[top - first_row : bottom - first_row, left - first_column : right - first_column]


def _rows(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    # Given, because there is no result beside an error.
    pixels = np.empty((height, width, 3), np.uint8)
    try:
        simplejpeg.decode_jpeg(data, "RGB", strict=True, buffer=pixels)
    except ValueError as error:
        _require_rest(error)
    return pixels


def _region(library: TurboJpeg, data: bytes, region: Region) -> NDArray[np.uint8]:
    pixels = np.empty((region.height, region.width, 3), np.uint8)
    try:
        library.decode(data, region, pixels)
    except ValueError as error:
        _require_rest(error)
    return pixels


def _require_rest(error: ValueError) -> None:
    """Raise the error, unless it is about rows that are left out."""
    if not _REST.fullmatch(str(error)):
        raise error


def _down(pixels: int, unit: int) -> int:
    return pixels // unit * unit


def _up(pixels: int, unit: int) -> int:
    return -(-pixels // unit) * unit
