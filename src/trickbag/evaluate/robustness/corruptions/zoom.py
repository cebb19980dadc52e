"""Zoom into the centre of images.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws
from trickbag.evaluate.robustness.corruptions.levels import as_levels, precise_type
from trickbag.evaluate.robustness.corruptions.parameters import ZoomRange

__all__ = ["clipped_zoom", "zoom_blur", "zoom_factors"]


def clipped_zoom(images_NCHW: Tensor, factor: float) -> Tensor:
    """Enlarge the centre of images by a factor of at least 1, to the same size.

    The corner pixels of the crop become the corner pixels of the enlarged image (bilinear), of
    which the centre is kept. The published code does so with square images; here each side has its
    own crop. (imagecorruptions keeps the upper left part instead.)
    """
    sides = images_NCHW.shape[2:]
    crop = [math.ceil(side / factor) for side in sides]
    first = [(side - few) // 2 for side, few in zip(sides, crop, strict=True)]
    centre = images_NCHW[:, :, first[0] : first[0] + crop[0], first[1] : first[1] + crop[1]]
    larger = [max(side, round(few * factor)) for side, few in zip(sides, crop, strict=True)]
    zoomed = torch.nn.functional.interpolate(centre, larger, mode="bilinear", align_corners=True)
    top, left = ((more - side) // 2 for more, side in zip(larger, sides, strict=True))
    return zoomed[:, :, top : top + sides[0], left : left + sides[1]]


def zoom_factors(zoom: ZoomRange) -> list[float]:
    """Return the factors of a zoom blur; `numpy.arange` decides whether `stop` is among them."""
    return [float(factor) for factor in np.arange(1, zoom.stop, zoom.step)]


def zoom_blur(images_NCHW: Tensor, draws: Draws, zoom: ZoomRange) -> Tensor:
    """Average the image and its zooms; the first factor is 1, so the image counts twice."""
    images = images_NCHW.to(precise_type(images_NCHW.device))
    factors = zoom_factors(zoom)
    total = images.clone()
    for factor in factors:
        total += clipped_zoom(images, factor)
    return as_levels(total / (len(factors) + 1))
