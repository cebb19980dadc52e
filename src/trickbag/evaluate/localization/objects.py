"""The objects of an annotated image where the network sees them: in its crop.

Shapes: A objects, H and W pixels of an image, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.decoding.decode import DecodeError, decode_rendered, read_bytes
from trickbag.data.decoding.formats import image_format
from trickbag.data.decoding.pixels import exif_orientation, jpeg_exif, upright
from trickbag.data.source import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.evaluate.localization.annotations import AnnotatedImage

__all__ = ["CroppedObjects", "cropped_objects", "upright_boxes"]

_TURNED = 5
"""The EXIF orientations from which on height and width are exchanged."""


class CroppedObjects(NamedTuple):
    """An image as the network sees it, uint8 (C, H, W), with its objects there.

    `names` (A) and `boxes` (A, 4), in pixels of the crop, are the objects that it shows. `cut` are
    the objects of which it shows a part alone, `hidden` those of which it shows nothing. `visible`
    is that of `Placement`. `errors` are boxes that cannot be used. `unsure` says that the image is
    turned or mirrored by its EXIF orientation, and nothing says whether its boxes are too.
    """

    image: AnnotatedImage
    crop: NDArray[np.uint8]
    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    visible: tuple[int, int, int, int]
    cut: int
    hidden: int
    errors: tuple[DataError, ...]
    unsure: bool


def cropped_objects(image: AnnotatedImage, preprocessing: Preprocessing) -> CroppedObjects:
    """Read an annotated image, crop it as in validation, and find its objects in the crop.

    Raises DecodeError for an image that cannot be read, or has another size than its annotation
    says.
    """
    data = read_bytes(image.path)
    pixels = decode_rendered(data, form=preprocessing.pixels).pixels
    height, width = pixels.shape[:2]
    orientation = exif_orientation(jpeg_exif(data)) if image_format(data) == "JPEG" else 1
    boxes, unsure = _upright(image, (height, width), orientation)
    inside = boxes.reshape(-1, 2, 2).clip(0, (width, height)).reshape(-1, 4)
    exists = _areas(inside) > 0
    errors = [
        DataError(image.annotation, f"object {i + 1} ({image.names[i]}) lies outside the image")
        for i in np.flatnonzero(~exists)
    ]
    placement = preprocessing.placement(height, width)
    shown = placement.of_boxes(inside)
    seen = exists & (_areas(shown) > 0)
    full = _areas(boxes) * np.prod(placement.scale)
    partly = seen & (_areas(shown) < (1 - 1e-9) * full)
    return CroppedObjects(
        image=image,
        crop=preprocessing.crop(pixels),
        names=tuple(image.names[i] for i in np.flatnonzero(seen)),
        boxes=shown[seen],
        visible=placement.visible,
        cut=int(partly.sum()),
        hidden=int((exists & ~seen).sum()),
        errors=tuple(errors),
        unsure=unsure,
    )


def _areas(boxes_A4: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = boxes_A4[:, 2:] - boxes_A4[:, :2]
    return np.asarray(sides.clip(min=0).prod(1))


def _upright(
    image: AnnotatedImage, size: tuple[int, int], orientation: int
) -> tuple[NDArray[np.float64], bool]:
    """Return the boxes of the upright image of `size`, and whether it is unsure that they are.

    Some tools draw boxes on the image as it is stored, others on it as it is shown. The size that
    the annotation gives tells which, where the two have another shape.
    """
    stored = size[::-1] if orientation >= _TURNED else size
    if image.size is None or image.size == size:
        ambiguous = orientation > 1 and (image.size is None or stored == size)
        return image.boxes, ambiguous
    if image.size == stored:
        return upright_boxes(image.boxes, stored, orientation), False
    sizes = [f"{width}x{height}" for height, width in (image.size, size)]
    raise DecodeError(f"its annotation is for an image of {sizes[0]} px, and it has {sizes[1]}")


def upright_boxes(
    boxes_A4: NDArray[np.float64], stored: tuple[int, int], orientation: int
) -> NDArray[np.float64]:
    """Return boxes of a stored image, of height and width `stored`, in the upright one.

    `orientation` is the value, 1 to 8, of the EXIF tag.
    """
    # What `upright` does to the corners of a square of 2 x 2 pixels, it does to every image.
    corners = upright(np.arange(4).reshape(2, 2, 1), orientation)[..., 0]
    new_size = stored[::-1] if orientation >= _TURNED else stored
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
