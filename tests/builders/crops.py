"""Crops as the loader makes them, from images that are decoded already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trickbag.data.config import INTERPOLATION, DataConfig, Interpolation
from trickbag.data.decoding.region import Box, cut
from trickbag.data.loading.crops import draw_crop
from trickbag.data.loading.resizing import resized
from trickbag.data.size import Size, height_width


def crop_resize(
    image: np.ndarray, box: Box, size: Size, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Cut a box out of an image (H, W, C) and scale it to `size`; the result is (C, *size)."""
    return resized(cut(image, box), height_width(size), interpolation)


def random_crop(
    image: np.ndarray, rng: np.random.Generator, data: DataConfig, size: Size, mean: Sequence[float]
) -> np.ndarray:
    """Draw a training image (C, *size) from an image (H, W, C)."""
    crop = draw_crop(*image.shape[:2], rng, data, size)
    return crop.of(cut(image, crop.box), size, mean, data.interpolation or INTERPOLATION)
