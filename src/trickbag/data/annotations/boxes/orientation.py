"""Boxes of images that their EXIF orientation turns or mirrors.

Shapes: A objects of an image. A box is (left, top, right, bottom).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.decoding.pixels import TURNED, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.decoding.header import Header

__all__ = ["OtherSize", "in_upright_image", "upright_boxes"]


class OtherSize(ValueError):
    """Report boxes that are those of an image of another size."""


def in_upright_image(
    boxes_A4: NDArray[np.float64], annotated: tuple[int, int] | None, header: Header
) -> tuple[NDArray[np.float64], bool]:
    """Return the boxes of the upright image, and whether it is unsure that they are.

    Some tools draw boxes on the image as it is stored, others on it as it is shown. `annotated`,
    the height and width that the annotation says the image has, tells which, where the two have
    another shape. Raises OtherSize where it is neither.
    """
    size = header.height, header.width
    if annotated is None or annotated == size:
        ambiguous = header.orientation > 1 and (annotated is None or header.stored == size)
        return boxes_A4, ambiguous
    if annotated == header.stored:
        return upright_boxes(boxes_A4, header.stored, header.orientation), False
    sizes = [f"{width}x{height}" for height, width in (annotated, size)]
    raise OtherSize(f"its annotation is for an image of {sizes[0]} px, and it has {sizes[1]}")


def upright_boxes(
    boxes_A4: NDArray[np.float64], stored: tuple[int, int], orientation: int
) -> NDArray[np.float64]:
    """Return boxes of a stored image, of height and width `stored`, in the upright one.

    `orientation` is the value, 1 to 8, of the EXIF tag.
    """
    # What `upright` does to the corners of a square of 2 x 2 pixels, it does to every image.
    corners = upright(np.arange(4).reshape(2, 2, 1), orientation)[..., 0]
    new_size = stored[::-1] if orientation >= TURNED else stored
    ends = boxes_A4.reshape(-1, 2, 2)
    turned = np.empty_like(ends)
    for axis in (0, 1):  # x and y of the upright image
        first, second = (corners[0, 0], corners[0, 1]) if axis == 0 else corners[:, 0]
        # Corner 0 is top left, 1 top right, 2 bottom left: one axis of the stored image changes.
        source = 0 if abs(int(second) - int(first)) == 1 else 1
        length = stored[1 - source]
        assert length == new_size[1 - axis]
        values = ends[:, :, source]
        turned[:, :, axis] = values if second > first else length - values[:, ::-1]
    return turned.reshape(-1, 4)
