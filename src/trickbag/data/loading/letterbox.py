"""Images that are scaled as a whole, with borders where they have another shape.

Shapes: H and W pixels, C channels. Along an axis `pixels` are those of the image, `size` those of
the result, and a view begins at pixel `start`, which is negative in the border before the image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.size import height_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.data.size import Size

__all__ = ["Placed", "View", "border_colour", "bordered", "random_view"]

_TRIES = 10


class Placed(NamedTuple):
    """The pixels of an axis that a view shows, and where they lie in the result."""

    first: int
    end: int
    place: int
    length: int


class View(NamedTuple):
    """A part of an image with its borders.

    `top` and `left` are pixels of the image, negative in a border. `down` and `across` are the
    pixels of the image for each pixel of the result, by rows and by columns.
    """

    top: float
    left: float
    down: float
    across: float

    def placed(self, height: int, width: int, size: Size) -> tuple[Placed, Placed]:
        """Return what the view shows of an image, by rows and by columns, in a result of `size`."""
        rows, columns = height_width(size)
        return (
            _placed(height, self.top, self.down, rows),
            _placed(width, self.left, self.across, columns),
        )


def border_colour(mean: Sequence[float]) -> tuple[int, ...]:
    """Return the colour of borders, levels from 0 to 255: the mean, which is normalised to 0."""
    return tuple(round(min(max(level, 0.0), 255.0)) for level in mean)


def random_view(
    rng: np.random.Generator,
    height: int,
    width: int,
    size: Size,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> View:
    """Draw a view of an image with its borders, for a training image of `size`.

    Its share of the area of both is in `area`, its shape in `ratio`, as a multiple of that of
    `size`; they are drawn as by `random_crop_box`. Where a view is smaller than the image it lies
    within, else it holds the image: no view has more border than it needs. The full area is the
    whole image.
    """
    rows, columns = height_width(size)
    # The pixels of the image for each pixel of the image that is scaled to fit.
    scale = max(height / rows, width / columns)
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(_TRIES):
        area_draw, ratio_draw, x, y = rng.random(4)
        share = area[0] + (area[1] - area[0]) * area_draw
        shape = math.exp(log_low + (log_high - log_low) * ratio_draw)
        across, down = math.sqrt(share * shape), math.sqrt(share / shape)
        if across <= 1 and down <= 1:
            break
    else:
        across, down, x, y = min(1.0, ratio[1]), min(1.0, 1 / ratio[0]), 0.5, 0.5
    return View(
        top=_start(height, rows * scale, down, y),
        left=_start(width, columns * scale, across, x),
        down=scale * down,
        across=scale * across,
    )


def _start(pixels: int, with_borders: float, share: float, place: float) -> float:
    """Return where a view begins that has a share of an axis; `place` in [0, 1) chooses."""
    length = with_borders * share
    low, high = sorted((0.0, pixels - length))
    # Not beyond the borders.
    first, last = (pixels - with_borders) / 2, (pixels + with_borders) / 2 - length
    low, high = min(max(low, first), last), min(max(high, first), last)
    return low + place * (high - low)


def _placed(pixels: int, start: float, scale: float, size: int) -> Placed:
    end = start + size * scale
    shown_from, shown_to = max(start, 0.0), min(end, float(pixels))
    length = min(size, max(1, round((shown_to - shown_from) / scale)))
    before, behind = max(0.0, -start), max(0.0, end - pixels)
    borders = before + behind
    # Rounded down where the borders are equal, as timm does.
    place = math.floor((size - length) * before / borders + 1e-6) if borders else 0
    first = min(round(shown_from), pixels - 1)
    return Placed(first, max(first + 1, min(round(shown_to), pixels)), place, length)


def bordered(
    image_CHW: NDArray[np.uint8], top: int, left: int, size: Size, colour: Sequence[int]
) -> NDArray[np.uint8]:
    """Lay an image (C, H, W) on a background of a colour, of `size`; its place is in pixels."""
    channels, height, width = image_CHW.shape
    rows, columns = height_width(size)
    if (height, width) == (rows, columns):
        return image_CHW
    background = np.empty((channels, rows, columns), np.uint8)
    background[:] = np.array(colour, np.uint8)[:, None, None]
    background[:, top : top + height, left : left + width] = image_CHW
    return background
