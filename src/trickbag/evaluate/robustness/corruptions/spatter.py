"""Spatter: drops of water or mud on the lens.

The published script makes water drops with OpenCV; its steps are written here for batches, on any
device. Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.drops import (
    canny,
    chamfer_distance,
    equalized,
    filtered,
)
from trickbag.evaluate.robustness.corruptions.filters import gaussian_filter
from trickbag.evaluate.robustness.corruptions.levels import (
    from_unit,
    grey,
    precise_type,
    to_unit,
    truncated,
)
from trickbag.evaluate.robustness.corruptions.parameters import SpatterLayer

__all__ = ["draw_spatter", "spatter", "water_thickness"]

_WATER = (175, 238, 238)
_MUD = (63, 42, 20)
"""Levels of red, green and blue."""
_EDGE = 0.8
"""Below this thickness mud is transparent."""
_BLUR = np.full((3, 3), 1 / 9)
_LIGHT = np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])
_FARTHEST = 20.0
"""Distance from a drop's outline, in pixels, from which on all is equal."""


def draw_spatter(
    rng: np.random.Generator, size: ImageSize, layer: SpatterLayer
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw a standard normal number for each pixel."""
    return {"normal": rng.standard_normal((1, *size[1:]), dtype=np.float32)}


def spatter(images_NCHW: Tensor, draws: Draws, layer: SpatterLayer) -> Tensor:
    """Add water, or cover with mud, where blurred noise is above the threshold.

    Images of one channel get the luminance of the water's or the mud's colour. An image without a
    drop stays as it is (the published script divides by zero there).
    """
    noise = layer.mean + layer.std * draws["normal"].to(precise_type(images_NCHW.device))
    liquid = gaussian_filter(noise, layer.sigma)
    images = to_unit(images_NCHW)
    colour = (
        torch.tensor(_MUD if layer.mud else _WATER)
        .to(images.dtype)
        .to(images.device)
        .reshape(1, 3, 1, 1)
        / 255
    )
    if images.shape[1] == 1:
        colour = grey(colour)
    if layer.mud:
        cover = gaussian_filter((liquid > layer.threshold).to(liquid.dtype), layer.amount)
        cover = torch.where(cover < _EDGE, 0, cover).float()
        return from_unit(images * (1 - cover) + cover * colour)
    thickness = water_thickness(liquid, layer.threshold)
    return from_unit(images + thickness * layer.amount * colour)


def water_thickness(liquid_N1HW: Tensor, threshold: float) -> Tensor:
    """Return how thick the water is, in [0, 1]: drops lit from one side.

    Their height comes from the distance to their outline, with its histogram equalized; a
    filter lights it; each step but the last is of 256 levels.
    """
    liquid = (liquid_N1HW * 255).floor().clamp(0, 255)
    liquid = torch.where(liquid_N1HW < threshold, 0, liquid)
    distance = chamfer_distance(canny(liquid, low=50, high=150), _FARTHEST)
    height = equalized(truncated(filtered(distance, _BLUR)))
    lit = filtered(height, _LIGHT).clamp(0, 255)
    water = liquid * (filtered(lit, _BLUR) + 0.5).floor()
    return (water / water.amax((1, 2, 3), keepdim=True).clamp(min=1)).float()
