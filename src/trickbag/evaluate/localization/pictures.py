"""Heat maps drawn over images, with boxes.

Shapes: H and W pixels, C channels, N boxes (left, top, right, bottom).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["MAP_COLOUR", "OBJECT_COLOUR", "overlay"]

OBJECT_COLOUR = (0, 230, 118)
"""Green: the box of an object, from the annotations."""

MAP_COLOUR = (255, 255, 255)
"""White: the box that follows from the map."""

_OPACITY = 0.5
_SHOWN_SIDE = 160
"""Pixels of the shorter side up to which a picture is enlarged, so that lines do not hide it."""


def overlay(
    image_CHW: NDArray[np.uint8],
    map_HW: NDArray[np.float64],
    objects_N4: Iterable[Iterable[float]] = (),
    boxes_N4: Iterable[Iterable[float]] = (),
) -> NDArray[np.uint8]:
    """Draw a map, in [0, 1], and boxes over an image, uint8 (C, H, W); return uint8 (H, W, 3).

    Small images are enlarged by a whole number. Of more than three channels the first three are
    shown, of two the first.
    """
    from matplotlib import colormaps

    channels = image_CHW[:3] if len(image_CHW) >= 3 else image_CHW[:1]
    picture = np.broadcast_to(channels.transpose(1, 2, 0), (*map_HW.shape, 3))
    colours = 255 * colormaps["turbo"](map_HW)[..., :3]
    blended = (1 - _OPACITY) * picture + _OPACITY * colours
    factor = max(1, -(-_SHOWN_SIDE // min(map_HW.shape)))
    enlarged = blended.round().astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    drawn = Image.fromarray(enlarged)
    canvas = ImageDraw.Draw(drawn)
    width = max(2, min(drawn.size) // 100)
    for boxes, colour in ((objects_N4, OBJECT_COLOUR), (boxes_N4, MAP_COLOUR)):
        for box in boxes:
            left, top, right, bottom = (factor * float(edge) for edge in box)
            # A rectangle of Pillow includes the pixels of its last row and column.
            last = max(left, right - 1), max(top, bottom - 1)
            canvas.rectangle((left, top, *last), outline=colour, width=width)
    return np.asarray(drawn)
