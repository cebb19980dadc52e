"""What drops of water are made of: outlines, distances, histograms; on batches of one channel.

Shapes: N images, H and W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from trickbag.evaluate.robustness.corruptions.filters import convolve, extended

__all__ = ["canny", "chamfer_distance", "equalized", "filtered"]

_ONE, _TAN_22 = 2**15, 13573
"""The unit of slopes, and the tangent of 22.5 degrees in it, as OpenCV rounds it."""
_STEPS = (
    *((row, column, 1.0) for row, column in ((0, 1), (1, 0))),
    *((row, column, 91750 / 2**16) for row, column in ((1, 1), (1, -1))),
    *((row, column, 143976 / 2**16) for row, column in ((1, 2), (2, 1), (2, -1), (1, -2))),
)
"""Steps of the 5 x 5 chamfer distance (Borgefors 1986): rows, columns and length.

The lengths are 1, 1.4 and 2.1969, the latter two rounded to OpenCV's 16 binary digits.
"""


def filtered(images_N1HW: Tensor, kernel: np.ndarray[Any, Any]) -> Tensor:
    """Correlate with a kernel; the border is mirrored."""
    return convolve(images_N1HW, kernel, "mirror")


def canny(images_N1HW: Tensor, *, low: float, high: float) -> Tensor:
    """Return the edges (Canny 1986) of images of levels 0 to 255, as a mask.

    Gradients by Sobel's 3 x 3 filters, their length by the sum of the absolute parts. An edge is
    a local maximum along the gradient, rounded to one of four directions, above `low`, that is
    connected with one above `high`.
    """
    height, width = images_N1HW.shape[2:]
    wider = extended(images_N1HW.to(torch.int32), 1, 1, "edge")
    across = wider[:, :, :, 2:] - wider[:, :, :, :-2]
    down = wider[:, :, 2:] - wider[:, :, :-2]
    dx = across[:, :, :-2] + 2 * across[:, :, 1:-1] + across[:, :, 2:]
    dy = down[:, :, :, :-2] + 2 * down[:, :, :, 1:-1] + down[:, :, :, 2:]
    length = dx.abs() + dy.abs()
    lengths = pad(length, (1, 1, 1, 1))

    def at(row: int, column: int) -> Tensor:
        return lengths[:, :, 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    flat = _ONE * dy.abs() < _TAN_22 * dx.abs()
    steep = _ONE * dy.abs() > (_TAN_22 + 2 * _ONE) * dx.abs()
    falling = (dx < 0) == (dy < 0)
    peaks = torch.where(
        flat,
        (length > at(0, -1)) & (length >= at(0, 1)),
        torch.where(
            steep,
            (length > at(-1, 0)) & (length >= at(1, 0)),
            torch.where(
                falling,
                (length > at(-1, -1)) & (length > at(1, 1)),
                (length > at(-1, 1)) & (length > at(1, -1)),
            ),
        ),
    )
    peaks &= length > low
    edges = peaks & (length > high)
    while True:
        frame = pad(edges, (1, 1, 1, 1))
        near = frame[:, :, :-2] | frame[:, :, 1:-1] | frame[:, :, 2:]
        grown = peaks & (near[..., :-2] | near[..., 1:-1] | near[..., 2:])
        if torch.equal(grown, edges):
            return edges
        edges = grown


def chamfer_distance(mask_N1HW: Tensor, farthest: float) -> Tensor:
    """Return the distance in pixels to the nearest place of the mask, at most `farthest`.

    Distances are lengths of paths of unit steps, diagonal steps (1.4) and knight's moves (2.1969),
    as in OpenCV. float32, which holds them exactly.
    """
    distance = torch.where(mask_N1HW, 0.0, farthest).float()
    # A shortest path takes steps in two neighbouring directions, in any order. So each direction
    # is followed once, in hops of 1, 2, 4, ... steps, which together make any number of steps.
    for row, column, length in _STEPS:
        steps = 1
        while steps * length < farthest:
            rows, columns = _overlaps(row * steps), _overlaps(column * steps)
            one_way, other_way = (..., rows[0], columns[0]), (..., rows[1], columns[1])
            before = distance.clone()
            further = before[other_way] + steps * length
            distance[one_way] = before[one_way].minimum(further)
            further = before[one_way] + steps * length
            distance[other_way] = distance[other_way].minimum(further)
            steps *= 2
    return distance


def _overlaps(shift: int) -> tuple[slice, slice]:
    """Return the parts of a side that lie on each other after a shift."""
    if shift < 0:
        return slice(-shift, None), slice(None, shift)
    return slice(None, -shift or None), slice(shift, None)


def equalized(images_N1HW: Tensor) -> Tensor:
    """Equalize the histogram of whole levels from 0 to 255, each image by itself.

    The darkest level becomes 0; others the share of brighter-than-darkest pixels up to them.
    """
    levels = images_N1HW.flatten(1).long()
    rows = torch.arange(len(levels), device=levels.device)[:, None]
    counts = (levels + 256 * rows).flatten().bincount(minlength=256 * len(levels))
    counts = counts.reshape(-1, 256)
    darkest = levels.amin(1, keepdim=True)
    behind = counts.gather(1, darkest)
    total = levels.shape[1] - behind
    brighter = (counts.cumsum(1) - behind).clamp(min=0)
    table = torch.where(total > 0, (brighter * (255 / total.clamp(min=1))).round(), darkest)
    return table.gather(1, levels).reshape(images_N1HW.shape).to(images_N1HW.dtype)
