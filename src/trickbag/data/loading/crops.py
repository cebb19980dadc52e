"""Random training crops, scaled to the size of the network's images.

Shapes: H and W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trickbag.data.config import INTERPOLATION, Interpolation
from trickbag.data.loading.filters import FILTERS
from trickbag.data.loading.letterbox import border_colour, random_view, view
from trickbag.data.size import height_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.size import Size

__all__ = [
    "Box",
    "by_picture",
    "crop_resize",
    "crop_scale",
    "planes",
    "random_crop",
    "random_crop_box",
]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are excluded."""

_TRIES = 10


def random_crop(
    image_HWC: NDArray[np.uint8],
    rng: np.random.Generator,
    data: DataConfig,
    size: Size,
    mean: Sequence[float],
) -> tuple[Image.Image, ...]:
    """Draw a training image of `size` from a uint8 image (H, W, C): one picture of RGB, else C.

    `data` says how: `resize`, `crop_area`, `crop_ratio` and `interpolation`. `mean` is the colour
    of the borders of `letterbox`.
    """
    height, width = image_HWC.shape[:2]
    rows, columns = height_width(size)
    interpolation = data.interpolation or INTERPOLATION
    if data.resize == "letterbox":
        seen = random_view(rng, height, width, size, data.crop_area, data.crop_ratio)
        return tuple(
            view(pixels, seen, size, border_colour(colour), interpolation)
            for pixels, colour in by_picture(image_HWC, mean)
        )
    # The ratio is a multiple of that of what a crop of the full area shows.
    shape = width / height if data.resize == "squash" else columns / rows
    low, high = data.crop_ratio
    box = random_crop_box(rng, width, height, data.crop_area, (low * shape, high * shape))
    return tuple(
        crop_scale(pixels, box, size, interpolation) for pixels, _ in by_picture(image_HWC, mean)
    )


def by_picture(
    image_HWC: NDArray[np.uint8], mean: Sequence[float]
) -> Iterator[tuple[NDArray[np.uint8], Sequence[float]]]:
    """Split an image and its mean colour into what Pillow resizes: RGB, else channel by channel."""
    if image_HWC.shape[2] == 3:
        yield image_HWC, mean
        return
    for channel in range(image_HWC.shape[2]):
        yield image_HWC[:, :, channel], mean[channel : channel + 1]


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


def crop_scale(
    image: NDArray[np.uint8],
    box: Box,
    size: Size,
    interpolation: Interpolation = INTERPOLATION,
) -> Image.Image:
    """Cut `box` out of a uint8 image, (H, W, 3) or (H, W), and scale it to `size`.

    By Pillow, with a wider filter when it shrinks an image ("antialias"). Pixels outside the box
    have no influence.
    """
    left, top, right, bottom = box
    rows, columns = height_width(size)
    crop = Image.fromarray(image[top:bottom, left:right])
    return crop.resize((columns, rows), FILTERS[interpolation])


def planes(*pictures: Image.Image) -> NDArray[np.uint8]:
    """Return one picture of RGB, or one of each of C channels, as uint8 (C, H, W)."""
    if len(pictures) == 1 and pictures[0].mode == "RGB":
        return np.ascontiguousarray(np.asarray(pictures[0]).transpose(2, 0, 1))
    return np.stack([np.asarray(picture) for picture in pictures])


def crop_resize(
    image_HW3: NDArray[np.uint8],
    box: Box,
    size: Size,
    interpolation: Interpolation = INTERPOLATION,
) -> NDArray[np.uint8]:
    """Cut and scale as `crop_scale` does, to uint8 (3, H, W)."""
    return planes(crop_scale(image_HW3, box, size, interpolation))
