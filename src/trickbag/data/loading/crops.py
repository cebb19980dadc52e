"""Random training crops, and crops scaled to squares.

Shapes: H and W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trickbag.data.config import INTERPOLATION, Interpolation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FILTERS", "Box", "crop_resize", "crop_scale", "planes", "random_crop_box"]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are excluded."""

FILTERS: Mapping[Interpolation, Image.Resampling] = MappingProxyType(
    {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
)
"""Pillow's filters by the names of `data.interpolation`."""

_TRIES = 10


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
    image_HW3: NDArray[np.uint8],
    box: Box,
    size: int,
    interpolation: Interpolation = INTERPOLATION,
) -> Image.Image:
    """Cut `box` out of a uint8 image (H, W, 3) and scale it to `size` pixels per side.

    By Pillow, with a wider filter when it shrinks an image ("antialias"). Pixels outside the box
    have no influence.
    """
    left, top, right, bottom = box
    crop = Image.fromarray(image_HW3[top:bottom, left:right])
    return crop.resize((size, size), FILTERS[interpolation])


def planes(image: Image.Image) -> NDArray[np.uint8]:
    """Return an RGB image as uint8 (3, H, W)."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def crop_resize(
    image_HW3: NDArray[np.uint8],
    box: Box,
    size: int,
    interpolation: Interpolation = INTERPOLATION,
) -> NDArray[np.uint8]:
    """Cut and scale as `crop_scale` does, to uint8 (3, size, size)."""
    return planes(crop_scale(image_HW3, box, size, interpolation))
