"""Maps of the plane, by which images are resampled: shear, rotation, scale and tilt.

A map is a matrix (3, 3) in homogeneous coordinates (x to the right, y down), relative to the fixed
point, of where a pixel of the frame comes from in the image: the inverse of how the image moves.

Shapes: N images, C channels, H and W pixels of an image, h and w pixels of a frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from trickbag.evaluate.robustness.corruptions.levels import precise_type

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["affine", "centre", "resampled", "tilt"]

_CHUNK = 8
"""Images that are resampled at once: real numbers take eight times the memory of levels."""
_TOLERANCE = 2.0**-10
"""In levels."""


def centre(images_NCHW: Tensor, height: int, width: int) -> Tensor:
    """Return the centre (N, C, height, width) of images that are at least as large."""
    top, left = ((n - m) // 2 for n, m in zip(images_NCHW.shape[2:], (height, width), strict=True))
    return images_NCHW[:, :, top : top + height, left : left + width]


def affine(*, angle: float = 0.0, scale: float = 1.0, shear: float = 0.0) -> NDArray[np.float64]:
    """Return where a frame comes from that is rotated, scaled and sheared, angles in degrees.

    The image moves by scale * [cos a, -sin(a + s); sin a, cos(a + s)], as in torchvision 0.2.1,
    which made ImageNet-P: its shear moves rows sideways and makes them lower by cos s.
    """
    a, s = math.radians(angle), math.radians(shear)
    matrix = np.eye(3)
    matrix[:2, :2] = [[math.cos(a + s), math.sin(a + s)], [-math.sin(a), math.cos(a)]]
    matrix[:2, :2] /= math.cos(s) * scale
    return matrix


def tilt(angle: float, height: int, width: int) -> NDArray[np.float64]:
    """Return where a frame comes from that is turned out of the plane, about x and y by `angle`.

    The camera is as far away as the image of `height` and `width` has its corners from each other.
    """
    phi = math.radians(angle)
    cos, sin, distance = math.cos(phi), math.sin(phi), math.hypot(height, width)
    flat = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1.0]])
    about_x = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    about_y = np.array([[cos, 0, -sin, 0], [0, 1, 0, 0], [sin, 0, cos, 0], [0, 0, 0, 1]])
    away = np.eye(4)
    away[2, 3] = distance
    camera = np.array([[distance, 0, 0, 0], [0, distance, 0, 0], [0, 0, 1, 0]])
    return np.linalg.inv(camera @ away @ about_x @ about_y @ flat)


def resampled(
    images_NCHW: Tensor,
    source: NDArray[np.float64],
    height: int,
    width: int,
    *,
    rounded: bool = False,
) -> Tensor:
    """Return frames (N, C, height, width) of images, both uint8: bilinear, black beyond the images.

    `source` is a map. The fixed point lies in the centre, half a pixel to the right and down: in
    the published scripts it is at pixel (w / 2, h / 2), counted from 0. Real levels are cut to
    whole ones, as by Pillow, or `rounded`, as by OpenCV.
    """
    y, x = np.meshgrid(np.arange(height) - height / 2, np.arange(width) - width / 2, indexing="ij")
    mapped = np.stack([x, y, np.ones_like(x)], axis=-1) @ source.T
    above, before = (
        (n - m) // 2 for n, m in zip(images_NCHW.shape[2:], (height, width), strict=True)
    )
    # The fixed point is a pixel of the frame, and that pixel of the image.
    y = mapped[..., 1] / mapped[..., 2] + height / 2 + above
    x = mapped[..., 0] / mapped[..., 2] + width / 2 + before
    # Only what comes into view is converted to real numbers.
    top, bottom = _seen(y, images_NCHW.shape[2])
    left, right = _seen(x, images_NCHW.shape[3])
    grid = [(2 * (x - left) + 1) / (right - left) - 1, (2 * (y - top) + 1) / (bottom - top) - 1]
    kind = precise_type(images_NCHW.device)
    grid_1hw2 = torch.from_numpy(np.stack(grid, axis=-1)[None]).to(kind).to(images_NCHW.device)
    frames = images_NCHW.new_empty(*images_NCHW.shape[:2], height, width)
    for start in range(0, len(frames), _CHUNK):
        chunk = images_NCHW[start : start + _CHUNK, :, top:bottom, left:right].to(kind)
        levels = functional.grid_sample(
            chunk, grid_1hw2.expand(len(chunk), -1, -1, -1), align_corners=False
        )
        # A level that the rounding of sums brings below itself must not be cut to the next.
        levels = (levels + (0.5 if rounded else _TOLERANCE)).floor()
        frames[start : start + _CHUNK] = levels.clamp(0, 255).to(torch.uint8)
    return frames


def _seen(places: NDArray[np.float64], pixels: int) -> tuple[int, int]:
    """Return the pixels of an axis that count for what lies at these places: from and to."""
    first = min(max(math.floor(places.min()), 0), pixels - 1)
    return first, max(first + 1, min(math.floor(places.max()) + 2, pixels))
