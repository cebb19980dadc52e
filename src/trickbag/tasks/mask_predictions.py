"""Predicted masks as files: the class of each pixel of an image, and the share of each class.

Shapes: H and W pixels, K classes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.segmentation import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MASK_COLOURS", "ImageMask", "class_colours", "class_shares", "mask_png"]

_HUES = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (86, 180, 233),
)
"""Okabe and Ito's colours, which colour-blind people can tell apart, by their contrast."""


def _colours() -> NDArray[np.uint8]:
    hues = np.array(_HUES, np.float64)
    # Colour-blind people tell what is lighter and darker, too.
    shades = [hues, hues + 0.62 * (255 - hues), 0.5 * hues]
    return np.concatenate(shades).round().astype(np.uint8)


MASK_COLOURS: NDArray[np.uint8] = _colours()
"""The colours of classes, (21, 3): seven hues, then the same lighter, then darker."""


def class_colours(num_classes: int) -> NDArray[np.uint8]:
    """Return the colours (K, 3) of classes; from the 22nd class on they come again."""
    return MASK_COLOURS[np.arange(num_classes) % len(MASK_COLOURS)]


def mask_png(classes_HW: NDArray[np.integer[Any]], num_classes: int) -> bytes:
    """Encode the classes of pixels as a PNG with a palette: each pixel stores its number.

    A pixel without a class, and one of a number that is none, stores IGNORED, which is black. Such
    a file is read back as a mask of a data set is.
    """
    from PIL import Image

    numbers = np.where(classes_HW < num_classes, classes_HW, IGNORED).astype(np.uint8)
    palette = np.zeros((IGNORED + 1, 3), np.uint8)
    palette[:num_classes] = class_colours(num_classes)
    image = Image.fromarray(numbers)
    # Sets the mode of a grey image to that of a palette; its numbers stay.
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=False, bits=8)
    return file.getvalue()


def class_shares(classes_HW: NDArray[np.integer[Any]], classes: Sequence[str]) -> dict[str, float]:
    """Return the share of the pixels of an image that each class has, in percent, largest first.

    Classes without a pixel are left out.
    """
    flat = np.asarray(classes_HW).reshape(-1)
    counts = np.bincount(flat[flat < len(classes)], minlength=len(classes))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda k: (-counts[k], k))
    return {classes[k]: round(100 * int(counts[k]) / flat.size, 4) for k in order}


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageMask:
    """The classes of the pixels of one image, uint8 (H, W), upright.

    The mask is None if the image could not be read, and `error` then says why.
    """

    file: str
    mask: NDArray[np.uint8] | None
    error: str | None = None

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return size and shares of classes, in percent, as plain data."""
        if self.mask is None:
            return {"file": self.file, "width": 0, "height": 0, "shares": {}, "error": self.error}
        height, width = self.mask.shape
        shares = class_shares(self.mask, classes)
        return {"file": self.file, "width": width, "height": height, "shares": shares}
