"""Changes of an image that its mask follows: scaled, cut out, mirrored, laid on a canvas.

Shapes: H and W pixels, C channels. Masks (H, W) hold classes; IGNORED is a pixel without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from trickbag.data.config import INTERPOLATION, Interpolation
from trickbag.data.loading.resizing import pillow_resized
from trickbag.data.size import height_width
from trickbag.metrics.segmentation import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.data.size import Size

__all__ = [
    "ImageView",
    "fitting_view",
    "image_view",
    "mask_on_canvas",
    "mask_view",
    "mirror",
    "on_canvas",
    "random_mirror",
    "random_view",
]


class ImageView(NamedTuple):
    """A part of an image, in pixels of it, and the height and width that it is scaled to."""

    left: float
    top: float
    right: float
    bottom: float
    height: int
    width: int


def fitting_view(height: int, width: int, size: Size) -> ImageView:
    """Return the view of an image as a whole, scaled to fit into `size`."""
    scale = _fitting_scale(height, width, size)
    rows, columns = height_width(size)
    return ImageView(
        0,
        0,
        width,
        height,
        min(rows, max(1, round(height * scale))),
        min(columns, max(1, round(width * scale))),
    )


def random_view(
    height: int,
    width: int,
    size: Size,
    rng: np.random.Generator,
    scale_range: tuple[float, float],
) -> ImageView:
    """Draw the view of a training image of `size`.

    The image is scaled as a whole, by a factor uniform in `scale_range` times that at which it
    fits into `size`. Of an axis that is then longer than `size` a part is cut out, at a place that
    is uniform too.

    Source: Zhao et al. 2017 (arXiv 1612.01105), section 5.1, which draws factors from 0.5 to 2.
    """
    factor, y, x = rng.random(3)
    low, high = scale_range
    scale = _fitting_scale(height, width, size) * (low + (high - low) * factor)
    rows, columns = height_width(size)
    top, bottom, new_height = _part(height, rows, scale, y)
    left, right, new_width = _part(width, columns, scale, x)
    return ImageView(left, top, right, bottom, new_height, new_width)


def _fitting_scale(height: int, width: int, size: Size) -> float:
    rows, columns = height_width(size)
    return min(rows / height, columns / width)


def _part(pixels: int, size: int, scale: float, place: float) -> tuple[float, float, int]:
    """Return the ends of what is cut out of an axis, and its pixels when it is scaled."""
    scaled = max(1, round(pixels * scale))
    if scaled <= size:
        return 0.0, float(pixels), scaled
    # In whole pixels of the scaled image.
    start = int(place * (scaled - size + 1))
    return start * pixels / scaled, (start + size) * pixels / scaled, size


def image_view(
    image_HWC: NDArray[np.uint8], seen: ImageView, interpolation: Interpolation = INTERPOLATION
) -> NDArray[np.uint8]:
    """Return a view of an image, by Pillow with a filter that widens when it shrinks.

    Not by torch: a view begins and ends within pixels, so that it lies as its mask does.
    """
    box = (seen.left, seen.top, seen.right, seen.bottom)
    return pillow_resized(image_HWC, (seen.height, seen.width), interpolation, box)


def mask_view(mask_HW: NDArray[np.uint8], seen: ImageView) -> NDArray[np.uint8]:
    """Return a view of a mask: each pixel has the class of the one at its centre."""
    mask = Image.fromarray(np.ascontiguousarray(mask_HW))
    box = (seen.left, seen.top, seen.right, seen.bottom)
    size = (seen.width, seen.height)
    return np.asarray(mask.resize(size, Image.Resampling.NEAREST, box=box))


def mirror(
    image_HWC: NDArray[np.uint8], mask_HW: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Mirror an image and its mask left to right."""
    return image_HWC[:, ::-1], mask_HW[:, ::-1]


def random_mirror(
    image_HWC: NDArray[np.uint8],
    mask_HW: NDArray[np.uint8],
    rng: np.random.Generator,
    probability: float,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Mirror an image and its mask with a probability."""
    return mirror(image_HWC, mask_HW) if rng.random() < probability else (image_HWC, mask_HW)


def on_canvas(image_HWC: NDArray[np.uint8], size: Size, colour: Sequence[int]) -> NDArray[np.uint8]:
    """Lay an image at the top left of a canvas of a colour; the result is (C, H, W)."""
    canvas = np.empty((image_HWC.shape[2], *height_width(size)), np.uint8)
    canvas[:] = np.array(colour, np.uint8)[:, None, None]
    canvas[:, : image_HWC.shape[0], : image_HWC.shape[1]] = image_HWC.transpose(2, 0, 1)
    return canvas


def mask_on_canvas(mask_HW: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Lay a mask at the top left of a canvas whose pixels have no class."""
    canvas = np.full(height_width(size), IGNORED, np.uint8)
    canvas[: mask_HW.shape[0], : mask_HW.shape[1]] = mask_HW
    return canvas
