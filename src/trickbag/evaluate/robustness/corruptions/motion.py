"""Motion blur along a line, as ImageMagick computes it.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.levels import precise_type
from trickbag.evaluate.robustness.corruptions.parameters import MotionLine

__all__ = ["draw_angle", "motion_blur", "motion_kernel", "motion_offsets", "moved", "rounded"]


def motion_kernel(radius: int, sigma: float) -> np.ndarray[Any, Any]:
    """Return the 2 radius + 1 weights of the line: one half of a Gaussian, with the sum 1."""
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def motion_offsets(radius: int, angle: float) -> np.ndarray[Any, Any]:
    """Return where the line's pixels lie, (2 radius + 1, 2): rows down, columns to the right.

    angle: in degrees, clockwise from the right.
    """
    direction = np.array([np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])
    steps = np.arange(2 * radius + 1)[:, None] * direction
    return np.asarray(np.ceil(steps - 0.5), dtype=np.int64)


def moved(images_NCHW: Tensor, radius: int, sigma: float, angle_N: Tensor) -> Tensor:
    """Blur each image along a line of its angle in degrees; the border's pixels are repeated."""
    images = images_NCHW.to(precise_type(images_NCHW.device))
    weights = motion_kernel(radius, sigma).tolist()
    return torch.stack(
        [
            _along(image, motion_offsets(radius, angle), weights)
            for image, angle in zip(images, angle_N.tolist(), strict=True)
        ]
    )


def _along(image_CHW: Tensor, offsets: np.ndarray[Any, Any], weights: list[float]) -> Tensor:
    height, width = image_CHW.shape[1:]
    low, high = offsets.min(0), offsets.max(0)
    frame = [int(size) for size in (-low[1], high[1], -low[0], high[0])]
    wider = torch.nn.functional.pad(image_CHW[None], frame, mode="replicate")[0]
    total = torch.zeros_like(image_CHW)
    for (row, column), weight in zip((offsets - low).tolist(), weights, strict=True):
        total.add_(wider[:, row : row + height, column : column + width], alpha=weight)
    return total


def rounded(values: Tensor) -> Tensor:
    """Round to whole levels, halves up, as ImageMagick does when it writes 8 bits."""
    return (values + 0.5).floor()


def draw_angle(
    rng: np.random.Generator, size: ImageSize, line: MotionLine
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw an angle between -45 and 45 degrees."""
    return {"angle": np.asarray(rng.uniform(-45, 45))}


def motion_blur(images_NCHW: Tensor, draws: Draws, line: MotionLine) -> Tensor:
    """Blur each image along a line of a random direction."""
    blurred = moved(images_NCHW, line.radius, line.sigma, draws["angle"])
    return rounded(blurred).clamp(0, 255).to(torch.uint8)
