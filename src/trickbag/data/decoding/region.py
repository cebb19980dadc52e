"""The part of an image that a crop needs, with the pixels that the whole image has there.

Where a crop needs fewer pixels than its part has, a JPEG can be decoded at a fraction of its size:
the decoder then transforms the low frequencies of each block alone (DCT scaling).

Shapes: H and W pixels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import simplejpeg

from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.formats import image_format
from trickbag.data.decoding.jpeg_layout import JpegLayout, jpeg_layout
from trickbag.data.decoding.limits import (
    MAX_PIXELS,
    LimitError,
    decoding_memory,
    hold_memory,
    require_pixels,
    require_scans,
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

_DIVISORS = (8, 4, 2)
"""The fractions of its size at which a JPEG is decoded are 1 over these: those that are fast."""


class Boxed(Protocol):
    """What has a box of an image, and perhaps says what becomes of it."""

    @property
    def box(self) -> Box:
        """The box in pixels of the upright image."""

    @property
    def least(self) -> tuple[int, int] | None:
        """Height and width below which the box is not decoded; None: it has its own size."""


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
    beside it; damage there is not noticed.

    Where the box has its `least` size, a JPEG is decoded at 1/8, 1/4 or 1/2 of its size, at the
    least of these at which the box has no fewer pixels than that. The edges of the box are then
    rounded to pixels of the smaller image. Raises DecodeError as `decode`.
    """
    if _is_rgb(form) and image_format(data) == "JPEG":
        layout = jpeg_layout(data)
        if layout is not None and _is_decoded_here(layout, max_pixels):
            orientation = exif_orientation(layout.exif)
            sides = layout.height, layout.width
            drawn = draw(*(sides[::-1] if orientation >= TURNED else sides))
            stored = turned_back(drawn.box, sides, orientation)
            divisor, box = _scaled(stored, drawn.least, turned=orientation >= TURNED)
            if divisor > 1 and not verified:
                # For damage alone.
                decode(data, max_pixels, form=form)
            if divisor > 1 or (verified and layout.single_scan):
                try:
                    pixels = _decoded(data, layout, divisor, box, max_pixels)
                    return drawn, pixels if orientation == 1 else upright(pixels, orientation)
                except ValueError:
                    # Decoded as a whole below, which says what is wrong with it.
                    pass
                except MemoryError:
                    # The whole image would have other pixels.
                    if divisor > 1:
                        raise DecodeError("JPEG too large for the memory") from None
    pixels = decode(data, max_pixels, verified=verified, form=form)
    drawn = draw(*pixels.shape[:2])
    return drawn, cut(pixels, drawn.box)


def _is_rgb(form: PixelFormat) -> bool:
    return form.channels is None and form.range_of("uint8") == (0.0, 255.0)


def _is_decoded_here(layout: JpegLayout, max_pixels: int) -> bool:
    """Tell whether a JPEG has a size that is decoded at all, and colours that are known here."""
    try:
        require_pixels(layout.width, layout.height, max_pixels)
        decoding_memory("JPEG", layout.width, layout.height, max_pixels)
    except LimitError:
        return False
    return layout.components in (1, 3)


def _scaled(box: Box, least: tuple[int, int] | None, *, turned: bool) -> tuple[int, Box]:
    """Return a divisor of the image's size, and the box in pixels of the smaller image.

    `turned`: height and width of the box are width and height of its least size.
    """
    if least is not None:
        height, width = least[::-1] if turned else least
        for divisor in _DIVISORS:
            left, top, right, bottom = ((edge + divisor // 2) // divisor for edge in box)
            if right - left >= width and bottom - top >= height:
                return divisor, (left, top, right, bottom)
    return 1, box


def _decoded(
    data: bytes, layout: JpegLayout, divisor: int, box: Box, max_pixels: int
) -> NDArray[np.uint8]:
    """Decode a box of a JPEG as it is stored; ValueError for damage.

    `box` is in pixels of the image at 1 / `divisor` of its size.
    """
    scaled = layout.scaled(divisor)
    down, across = scaled.unit
    # Where colours have fewer samples than pixels, the next sample has a share in a pixel.
    around = _NEXT_SAMPLE if layout.is_upsampled else 0
    left, top, right, bottom = box
    if not layout.single_scan:
        # Its scans refine all of the image, one after the other.
        require_scans(data, layout.width, layout.height, max_pixels)
        with hold_memory(decoding_memory("JPEG", layout.width, layout.height, max_pixels)):
            return _rows(data, scaled.height, scaled.width)[top:bottom, left:right]
    end = min(_up(bottom + around, down), scaled.height)
    needed = data
    if end < scaled.height:
        # A shorter image by its header: the decoder skips the codes of the rest.
        at = layout.size_at
        needed = data[:at] + (divisor * end).to_bytes(2, "big") + data[at + 2 :]
    with hold_memory(decoding_memory("JPEG", scaled.width, end, max_pixels)):
        if (library := turbojpeg()) is None:
            return _rows(needed, end, scaled.width)[top:bottom, left:right]
        first_row = _down(max(0, top - around), down)
        first_column = _down(max(0, left - around), across)
        last_column = min(_up(right + around, across), scaled.width)
        region = Region(first_column, first_row, last_column - first_column, end - first_row)
        pixels = _region(library, needed, divisor, region)
    return pixels[top - first_row : bottom - first_row, left - first_column : right - first_column]


def _rows(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Decode an image to a height and width, those that it has at a fraction of its size."""
    # Given, because there is no result beside an error.
    pixels = np.empty((height, width, 3), np.uint8)
    try:
        simplejpeg.decode_jpeg(
            data, "RGB", strict=True, buffer=pixels, min_height=height, min_width=width
        )
    except ValueError as error:
        _require_rest(error)
    return pixels


def _region(library: TurboJpeg, data: bytes, divisor: int, region: Region) -> NDArray[np.uint8]:
    pixels = np.empty((region.height, region.width, 3), np.uint8)
    try:
        library.decode(data, divisor, region, pixels)
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
