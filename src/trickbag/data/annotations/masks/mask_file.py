"""Files of masks: the number that each pixel stores, never the colour that it is shown in.

Shapes: H and W pixels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.decoding.decode import PLUGINS
from trickbag.data.decoding.formats import DecodeError, image_format
from trickbag.data.decoding.lengths import check_bmp
from trickbag.data.decoding.limits import (
    MAX_PIXELS,
    LimitError,
    decoding_memory,
    hold_memory,
    require_pixels,
)
from trickbag.data.decoding.png import check_chunks, check_rows
from trickbag.errors import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = ["MASK_FORMATS", "decode_mask"]

MASK_FORMATS = ("PNG", "TIFF", "BMP")
"""The formats of masks.

Others change pixels, or have none but colours; and what writes a GIF numbers its palette anew.
"""

_COLOURS = (
    "a mask in colours, of which each could be any class: store the number of the class in each "
    "pixel (a palette or grey image)"
)
_GREY_STEP = {1: 255, 2: 85, 4: 17}
"""The grey level of the number 1 where a pixel of a PNG has so many bits."""


def decode_mask(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return the numbers (H, W) that a mask stores: places in its palette, or grey levels.

    Raises DecodeError for damaged data, for an image in colours, for a format that loses numbers,
    and for numbers above 255.
    """
    kind = image_format(data)
    if kind not in MASK_FORMATS:
        raise DecodeError(
            f"a {kind} is no mask, as its numbers may have changed; masks are "
            f"{', '.join(MASK_FORMATS)}"
        )
    try:
        if kind == "PNG":
            check_chunks(data)
        elif kind == "BMP":
            check_bmp(data)
        with PLUGINS[kind](io.BytesIO(data)) as image:
            require_pixels(*image.size, max_pixels)
            with hold_memory(decoding_memory(kind, *image.size, max_pixels)):
                if kind == "PNG":
                    check_rows(data)
                image.load()
                return _numbers(image, data, kind)
    except DecodeError:
        raise
    except LimitError as error:
        raise DecodeError(str(error)) from None
    except MemoryError:
        raise DecodeError(f"{kind} too large for the memory") from None
    except Exception as error:
        # Decoders of damaged data raise almost anything.
        raise DecodeError(f"damaged {kind}: {first_line(error)}") from None


def _numbers(image: ImageFile, data: bytes, kind: str) -> NDArray[np.uint8]:
    if image.mode == "P":
        return np.array(image, np.uint8)
    if image.mode == "1":
        return np.array(image, np.bool_).astype(np.uint8)
    if image.mode == "L":
        # Pillow spreads numbers of fewer than 8 bits over all grey levels.
        bits = data[24] if kind == "PNG" else 8
        return np.array(image, np.uint8) // np.uint8(_GREY_STEP.get(bits, 1))
    if image.mode.startswith("I"):
        numbers = np.array(image)
        if numbers.min(initial=0) < 0 or numbers.max(initial=0) > 255:
            raise DecodeError(f"has the number {numbers.max()}; a mask has numbers from 0 to 255")
        return numbers.astype(np.uint8)
    raise DecodeError(_COLOURS)
