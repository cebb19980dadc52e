"""The objects of an annotated image where the network sees them: in its crop.

Shapes: A objects, H and W pixels of an image, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.annotations.boxes.orientation import OtherSize, in_upright_image
from trickbag.data.decoding.decode import DecodeError, decode_rendered, read_bytes
from trickbag.data.decoding.formats import image_format
from trickbag.data.decoding.header import Header
from trickbag.data.decoding.pixels import exif_orientation, jpeg_exif
from trickbag.data.source import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.evaluate.localization.annotations import AnnotatedImage

__all__ = ["CroppedObjects", "cropped_objects"]


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
    try:
        header = Header(height, width, orientation)
        boxes, unsure = in_upright_image(image.boxes, image.size, header)
    except OtherSize as error:
        raise DecodeError(str(error)) from None
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
