"""Plasma fractals, by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982).

Shapes: N images, S side of the fractal in pixels, a power of two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["plasma", "plasma_draws", "plasma_side"]


def plasma_side(height: int, width: int) -> int:
    """Return the smallest power of two that covers an image of this size, at least 2."""
    return max(2, 1 << (max(height, width) - 1).bit_length())


def plasma_draws(rng: np.random.Generator, side: int) -> np.ndarray[Any, Any]:
    """Draw the numbers in [-1, 1) of a fractal: as many as it has pixels, but for the first.

    In the order of the algorithm: at each scale, from coarse to fine, the centres of the squares,
    then the upper sides, then the left sides.
    """
    return rng.uniform(-1, 1, side * side - 1).astype(np.float32)


def plasma(draws_ND: Tensor, decay: float) -> Tensor:
    """Return fractals (N, S, S) with values from 0 to 1, from `plasma_draws` (N, S * S - 1).

    At each scale a point is the mean of its four neighbours at that scale, on a torus, plus
    noise; the noise's standard deviation falls by `decay` squared from scale to scale.
    """
    side = round((draws_ND.shape[1] + 1) ** 0.5)
    field = draws_ND.new_zeros(len(draws_ND), side, side)
    taken = 0
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2
        points = side // step
        noise = draws_ND[:, taken : taken + 3 * points**2] * amplitude**2
        centre, upper, left = noise.reshape(-1, 3, points, points).unbind(1)
        taken += 3 * points**2
        corners = field[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        squares = (pairs + pairs.roll(-1, 2)) / 4 + centre
        field[:, half::step, half::step] = squares
        across = (squares + squares.roll(1, 1)) + (corners + corners.roll(-1, 2))
        field[:, ::step, half::step] = across / 4 + upper
        down = (squares + squares.roll(1, 2)) + (corners + corners.roll(-1, 1))
        field[:, half::step, ::step] = down / 4 + left
        step, amplitude = half, amplitude / decay
    field = field - field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True).clamp(min=torch.finfo(field.dtype).tiny)
