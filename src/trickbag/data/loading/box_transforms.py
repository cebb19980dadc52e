"""Changes of an image that its boxes follow: scaled, cut out, mirrored.

Shapes: H and W pixels, C channels, M objects. Objects (M, 6) are class, left, top, right, bottom
and 1 for a difficult one; the edges are continuous, in pixels, so that the first pixel is
(0, 0, 1, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.data.config import INTERPOLATION, Interpolation
from trickbag.data.loading.crops import random_crop_box
from trickbag.data.loading.resizing import resized
from trickbag.data.size import height_width

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.region import Box
    from trickbag.data.size import Size

__all__ = [
    "crop",
    "mirror",
    "random_box_crop",
    "random_mirror",
    "resize",
    "resized_size",
    "visible",
]

_SMALLEST = 1.0
"""The least width and height of a box in pixels: of a smaller one nothing is to be seen."""


def resized_size(height: int, width: int, size: Size) -> tuple[int, int]:
    """Return height and width of an image that is scaled as a whole for a detector.

    Its shorter side becomes the smaller side of `size`, unless its longer side would exceed the
    larger one: then that is its longer side. So an image on its side has the same scale as an
    upright one.

    Source: Ren et al. 2015, "Faster R-CNN", section 3.3, with 600 and 1,000 pixels.
    """
    smaller, larger = sorted(height_width(size))
    scale = min(smaller / min(height, width), larger / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(
    image_HWC: NDArray[np.uint8],
    objects_M6: NDArray[np.float64],
    new_size: tuple[int, int],
    interpolation: Interpolation = INTERPOLATION,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Scale an image to a height and width, see `resized`."""
    height, width = image_HWC.shape[:2]
    new_height, new_width = new_size
    if (height, width) == new_size:
        return image_HWC, objects_M6
    image = resized(image_HWC, new_size, interpolation).transpose(1, 2, 0)
    objects = objects_M6.copy()
    objects[:, [1, 3]] *= new_width / width
    objects[:, [2, 4]] *= new_height / height
    return image, objects


def crop(
    image_HWC: NDArray[np.uint8], objects_M6: NDArray[np.float64], box: Box
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut a box out of an image, (left, top, right, bottom) in whole pixels.

    Objects whose centre lies within stay, cut off at the edges.

    Source: Liu et al. 2016, "SSD", section 2.2, for the centre.
    """
    left, top, right, bottom = box
    centres = (objects_M6[:, 1:3] + objects_M6[:, 3:5]) / 2
    within = ((centres >= (left, top)) & (centres < (right, bottom))).all(axis=1)
    objects = objects_M6[within]
    objects[:, [1, 3]] = objects[:, [1, 3]].clip(left, right) - left
    objects[:, [2, 4]] = objects[:, [2, 4]].clip(top, bottom) - top
    return image_HWC[top:bottom, left:right], objects


def random_box_crop(
    image_HWC: NDArray[np.uint8],
    objects_M6: NDArray[np.float64],
    rng: np.random.Generator,
    data: DataConfig,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut a part out of an image, drawn by `data.crop_area` and `data.crop_ratio`.

    The ratio is a multiple of the image's own. With a `crop_area` of 1 to 1 the image stays whole,
    and nothing is drawn.
    """
    if data.crop_area == (1.0, 1.0):
        return image_HWC, objects_M6
    height, width = image_HWC.shape[:2]
    low, high = (ratio * width / height for ratio in data.crop_ratio)
    box = random_crop_box(rng, width, height, data.crop_area, (low, high))
    return crop(image_HWC, objects_M6, box)


def mirror(
    image_HWC: NDArray[np.uint8], objects_M6: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Mirror an image left to right."""
    objects = objects_M6.copy()
    objects[:, 1] = image_HWC.shape[1] - objects_M6[:, 3]
    objects[:, 3] = image_HWC.shape[1] - objects_M6[:, 1]
    return image_HWC[:, ::-1], objects


def random_mirror(
    image_HWC: NDArray[np.uint8],
    objects_M6: NDArray[np.float64],
    rng: np.random.Generator,
    probability: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Mirror an image left to right with a probability."""
    if rng.random() < probability:
        return mirror(image_HWC, objects_M6)
    return image_HWC, objects_M6


def visible(objects_M6: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out objects that are narrower or lower than a pixel."""
    sides = objects_M6[:, 3:5] - objects_M6[:, 1:3]
    # Of what is a pixel wide before it is scaled by 1.0 rounding must not take anything.
    return objects_M6[(sides >= _SMALLEST - 1e-6).all(axis=1)]
