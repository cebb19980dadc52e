"""Random training crops, scaled to the size of the network's images.

Shapes: H and W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from trickbag.data.config import INTERPOLATION, Interpolation
from trickbag.data.decoding.region import Box
from trickbag.data.loading.letterbox import border_colour, bordered, random_view
from trickbag.data.loading.resizing import channels_first, resized
from trickbag.data.size import height_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.size import Size

__all__ = [
    "TrainingCrop",
    "as_picture",
    "draw_crop",
    "planes",
    "random_crop_box",
]

_TRIES = 10


class TrainingCrop(NamedTuple):
    """A training image that is drawn: what is cut out of an image, and where it comes to lie.

    `box` is in pixels of the upright image. It is scaled to `scaled`, height and width, and its top
    left is at `place`, row and column of the result; the rest of it is a border. `least` is that of
    `decode_box`.
    """

    box: Box
    scaled: tuple[int, int]
    place: tuple[int, int] = (0, 0)
    least: tuple[int, int] | None = None

    def of(
        self,
        pixels_HWC: NDArray[np.uint8],
        size: Size,
        mean: Sequence[float],
        interpolation: Interpolation = INTERPOLATION,
    ) -> NDArray[np.uint8]:
        """Return the training image, (C, *size), of the pixels of the box, uint8 (H, W, C).

        `mean` is the colour of the borders.
        """
        pixels_CHW = resized(pixels_HWC, self.scaled, interpolation)
        return bordered(pixels_CHW, *self.place, size, border_colour(mean))


def draw_crop(
    height: int, width: int, rng: np.random.Generator, data: DataConfig, size: Size
) -> TrainingCrop:
    """Draw a training image of `size` from an image of a height and width.

    `data` says how: `resize`, `crop_area` and `crop_ratio`, and with `dct_scaling` that the box is
    decoded no larger than its result needs.
    """
    drawn = _drawn(height, width, rng, data, size)
    return drawn._replace(least=drawn.scaled) if data.dct_scaling else drawn


def _drawn(
    height: int, width: int, rng: np.random.Generator, data: DataConfig, size: Size
) -> TrainingCrop:
    rows, columns = height_width(size)
    if data.resize == "letterbox":
        seen = random_view(rng, height, width, size, data.crop_area, data.crop_ratio)
        y, x = seen.placed(height, width, size)
        box = (x.first, y.first, x.end, y.end)
        return TrainingCrop(box, (y.length, x.length), (y.place, x.place))
    # The ratio is a multiple of that of what a crop of the full area shows.
    shape = width / height if data.resize == "squash" else columns / rows
    low, high = data.crop_ratio
    box = random_crop_box(rng, width, height, data.crop_area, (low * shape, high * shape))
    return TrainingCrop(box, (rows, columns))


def random_crop_box(
    rng: np.random.Generator,
    width: int,
    height: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """Draw a training crop with a share of the area in `area` and a width/height in `ratio`.

    The share is uniform, the ratio uniform in its logarithm, so that a ratio and its inverse are
    equally likely. If ten draws do not fit into the image, the largest central crop within `ratio`
    is taken, whatever its area.

    Source: He et al. 2018, section 2.1, for the ranges; torchvision's RandomResizedCrop for the
    logarithm and the fall-back.
    """
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(_TRIES):
        area_draw, ratio_draw, x, y = rng.random(4)
        pixels = width * height * (area[0] + (area[1] - area[0]) * area_draw)
        aspect = math.exp(log_low + (log_high - log_low) * ratio_draw)
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def planes(picture: Image.Image) -> NDArray[np.uint8]:
    """Return a picture of RGB as uint8 (3, H, W)."""
    return channels_first(np.asarray(picture))


def as_picture(crop_3HW: NDArray[np.uint8]) -> Image.Image:
    """Return uint8 (3, H, W) as the picture that the operations of a policy take."""
    return Image.fromarray(np.ascontiguousarray(crop_3HW.transpose(1, 2, 0)))
