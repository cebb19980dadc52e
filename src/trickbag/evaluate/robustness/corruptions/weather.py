"""Snow and fog.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.levels import (
    from_unit,
    grey,
    precise_type,
    to_unit,
)
from trickbag.evaluate.robustness.corruptions.motion import moved, rounded
from trickbag.evaluate.robustness.corruptions.parameters import FogLayer, SnowLayer
from trickbag.evaluate.robustness.corruptions.plasma import plasma, plasma_draws, plasma_side
from trickbag.evaluate.robustness.corruptions.zoom import clipped_zoom

__all__ = ["draw_fog", "draw_snow", "fog", "snow", "snow_flakes", "whitened"]


def draw_snow(
    rng: np.random.Generator, size: ImageSize, layer: SnowLayer
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw a standard normal number for each pixel, and the direction of the fall."""
    noise = rng.standard_normal((1, *size[1:]), dtype=np.float32)
    return {"normal": noise, "angle": np.asarray(rng.uniform(-135, -45))}


def snow(images_NCHW: Tensor, draws: Draws, layer: SnowLayer) -> Tensor:
    """Whiten the images, and add flakes twice: as they are and turned by 180 degrees."""
    flakes = snow_flakes(draws["normal"], draws["angle"], layer).float()
    images = whitened(to_unit(images_NCHW), layer.keep)
    return from_unit(images + flakes + flakes.flip(2, 3))


def snow_flakes(normal_N1HW: Tensor, angle_N: Tensor, layer: SnowLayer) -> Tensor:
    """Make flakes in [0, 1] from noise: enlarged, cut off below the threshold, blurred by motion.

    Both before and after the blur they are of 256 levels, as the published code hands them to
    ImageMagick as a file.
    """
    noise = layer.mean + layer.std * normal_N1HW.to(precise_type(normal_N1HW.device))
    spots = clipped_zoom(noise, layer.zoom)
    spots = from_unit(spots * (spots >= layer.threshold))
    return rounded(moved(spots, layer.radius, layer.sigma, angle_N)).clamp(0, 255) / 255


def whitened(images_NCHW: Tensor, keep: float) -> Tensor:
    """Mix images in [0, 1] with their brightened luminance, where that is brighter."""
    return keep * images_NCHW + (1 - keep) * images_NCHW.maximum(grey(images_NCHW) * 1.5 + 0.5)


def draw_fog(
    rng: np.random.Generator, size: ImageSize, layer: FogLayer
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw the numbers of a plasma fractal that covers the image."""
    return {"plasma": plasma_draws(rng, plasma_side(*size[1:]))}


def fog(images_NCHW: Tensor, draws: Draws, layer: FogLayer) -> Tensor:
    """Add a plasma fractal, and scale so that white stays as bright as the image's brightest value.

    The fractal's side is the smallest power of two that covers the image, as published for each
    of the three sizes (256 for 224 px).
    """
    height, width = images_NCHW.shape[2:]
    cloud = plasma(draws["plasma"], layer.decay)[:, None, :height, :width]
    images = to_unit(images_NCHW)
    brightest = images.amax((1, 2, 3), keepdim=True)
    return from_unit((images + layer.strength * cloud) * (brightest / (brightest + layer.strength)))
