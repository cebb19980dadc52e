"""Elastic transform: a random affine map, then smooth local shifts (Simard et al. 2003).

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.filters import gaussian_filter
from trickbag.evaluate.robustness.corruptions.levels import as_levels, precise_type
from trickbag.evaluate.robustness.corruptions.parameters import ElasticWarp

__all__ = ["affine_sources", "draw_elastic", "elastic_transform", "sample"]


def draw_elastic(
    rng: np.random.Generator, size: ImageSize, warp: ElasticWarp
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw from [-1, 1): shifts (x, y) of three points, then all pixels' shifts in x, in y."""
    corners = rng.uniform(-1, 1, (3, 2))
    shifts = rng.random((2, *size[1:]), dtype=np.float32) * 2 - 1
    return {"corners": corners, "shifts": shifts}


def elastic_transform(images_NCHW: Tensor, draws: Draws, warp: ElasticWarp) -> Tensor:
    """Move three points at random, then each pixel by smoothed noise; bilinear both times."""
    height, width = images_NCHW.shape[2:]
    side = min(height, width)
    images = images_NCHW.to(precise_type(images_NCHW.device))
    rows = torch.arange(height, device=images.device, dtype=images.dtype)[:, None]
    columns = torch.arange(width, device=images.device, dtype=images.dtype)
    corners = draws["corners"].cpu().numpy() * warp.corners * side
    matrix = (
        torch.from_numpy(affine_sources(corners, height, width)).to(images.dtype).to(images.device)
    )
    x, y = (
        matrix[:, i, 0, None, None] * columns
        + matrix[:, i, 1, None, None] * rows
        + matrix[:, i, 2, None, None]
        for i in range(2)
    )
    images = sample(images, x, y, mirror=True)
    if warp.alpha:
        shifts = gaussian_filter(draws["shifts"], warp.sigma * side, truncate=3, border="symmetric")
        shift_x, shift_y = (shifts * (warp.alpha * side)).unbind(1)
        images = sample(images, columns + shift_x, rows + shift_y, mirror=False)
    return as_levels(images)


def affine_sources(
    shift_N32: np.ndarray[Any, Any], height: int, width: int
) -> np.ndarray[Any, Any]:
    """Return the maps (N, 2, 3) from a pixel (x, y, 1) to the place (x, y) that it comes from.

    The map takes three points around the centre, shifted by (x, y), back to where they were: the
    lower right, upper right and upper left corner of a square of two thirds of the short side.
    """
    centre = np.array([width // 2, height // 2], dtype=np.float64)
    reach = max(1, min(height, width) // 3)
    points = centre + reach * np.array([[1, 1], [1, -1], [-1, -1]], dtype=np.float64)
    shifted = np.concatenate([points + shift_N32, np.ones((len(shift_N32), 3, 1))], 2)
    # Shifts are below half of the square's side, so the three points never lie on a line.
    return np.asarray(np.linalg.solve(shifted, np.broadcast_to(points, shift_N32.shape))).transpose(
        0, 2, 1
    )


def sample(images_NCHW: Tensor, x_NHW: Tensor, y_NHW: Tensor, *, mirror: bool) -> Tensor:
    """Interpolate images at places (x, y) in pixels.

    Beyond the border the image is mirrored: with `mirror` about the outermost pixels' centres
    (abcd -> dcb|abcd), else about their edges (abcd -> cba|abcd).
    """
    height, width = images_NCHW.shape[2:]
    if mirror:
        x, y = 2 * x_NHW / max(1, width - 1) - 1, 2 * y_NHW / max(1, height - 1) - 1
    else:
        x, y = (2 * x_NHW + 1) / width - 1, (2 * y_NHW + 1) / height - 1
    return torch.nn.functional.grid_sample(
        images_NCHW,
        torch.stack([x, y], -1),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=mirror,
    )
