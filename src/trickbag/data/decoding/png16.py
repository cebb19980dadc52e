"""PNGs of 16 bits a channel: both bytes of each value, of which Pillow's modes keep the upper one.

Shapes: H and W pixels, B bands.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import PngImagePlugin

from trickbag.data.decoding.stored import Alpha, StoredImage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["has_16_bits", "read_values"]

_GREY_ALPHA, _RGB, _RGBA = 4, 2, 6

_LOWER = {_RGB: ("RGB", "RGB;16L"), _RGBA: ("RGBA", "RGBA;16L")}
"""Pillow's mode for a colour type, and the raw mode that takes the lower byte of each value.

It is meant for the upper one, in the other byte order.
"""


def has_16_bits(data: bytes) -> bool:
    """Tell whether a PNG has 16 bits a channel, and more than one channel; not grey alone."""
    return data[24:25] == b"\x10" and data[25] in (_GREY_ALPHA, _RGB, _RGBA)


def read_values(data: bytes, image: Image.Image) -> StoredImage:
    """Read the values of a PNG for which `has_16_bits` is true: uint16 (H, W, B).

    `image` is the file as Pillow has loaded it.
    """
    if data[25] == _GREY_ALPHA:
        # Four bytes a pixel, as those of an 8-bit image in RGB with transparency.
        bytes_HW4 = _decoded(data, "RGBA", "RGBA").astype(np.uint16)
        values = bytes_HW4[:, :, 0::2] << 8 | bytes_HW4[:, :, 1::2]
        return StoredImage(values=values, bands=2, alpha="straight")
    values = np.asarray(image).astype(np.uint16) << 8
    values |= _decoded(data, *_LOWER[data[25]])
    alpha: Alpha = "straight" if data[25] == _RGBA else "none"
    return StoredImage(values=values, bands=values.shape[2], alpha=alpha)


def _decoded(data: bytes, mode: str, raw_mode: str) -> NDArray[np.uint8]:
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
        # What Pillow goes by when it decodes.
        image._mode = mode
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        image.load()
        return np.asarray(image)
