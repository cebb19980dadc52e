"""The images that a caller gives to a network: paths, a folder, arrays, or images of Pillow."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trickbag.data.decoding.decode import DecodeError, decode_rendered
from trickbag.data.decoding.pixel_format import RGB, PixelFormat
from trickbag.data.decoding.pixels import exif_orientation, upright
from trickbag.data.decoding.stored import (
    NOT_FINITE,
    Rendered,
    StoredError,
    StoredImage,
    rendered,
    stored_pillow,
)
from trickbag.evaluate.inputs import find_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["GivenImage", "GivenImages", "given_pixels", "named_images"]

GivenImage = str | os.PathLike[str] | np.ndarray | Image.Image
"""A path; an array, (H, W, C) or grey (H, W); or an image of Pillow."""

GivenImages = GivenImage | Iterable[GivenImage]
"""Images; a single path may also be a folder, a glob, or a CSV file that names images."""


def named_images(
    images: GivenImages, pixels: PixelFormat = RGB
) -> Iterator[tuple[str, GivenImage | None]]:
    """Yield the name of each image, and the image; None for one that a CSV file names in vain.

    The name is the path, or the place of an array or image of Pillow among those given. An array is
    a single image if it has the channels of `pixels`, else images behind each other. Raises
    UserError for a single path that is not there, or where no images are.
    """
    if isinstance(images, str | os.PathLike):
        inputs = find_inputs([os.fspath(images)])
        yield from zip(inputs.names, inputs.paths, strict=True)
    elif isinstance(images, Image.Image) or (
        isinstance(images, np.ndarray) and _is_single(images, pixels)
    ):
        yield "0", images
    else:
        for place, image in enumerate(images):
            if isinstance(image, str | os.PathLike):
                yield os.fspath(image), image
            else:
                yield str(place), image


def _is_single(array: NDArray[Any], pixels: PixelFormat) -> bool:
    """Tell whether an array is an image, and not images behind each other."""
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, pixels.count))


def given_pixels(
    image: str | os.PathLike[str] | NDArray[Any] | Image.Image, pixels: PixelFormat = RGB
) -> Rendered:
    """Return an image as uint8 (H, W, C), and how its values lie in the pixel range.

    An array of uint8 with C channels is taken as it is, any other has the values of a file. Raises
    DecodeError for what cannot be read or has no such channels, and ValueError for an array that
    is no image.
    """
    if isinstance(image, str | os.PathLike):
        return decode_rendered(image, form=pixels)
    if isinstance(image, np.ndarray):
        return _of_array(image, pixels)
    try:
        return rendered(_of_pillow(image, pixels), pixels)
    except StoredError as error:
        raise DecodeError(str(error)) from None


def _of_pillow(image: Image.Image, pixels: PixelFormat) -> StoredImage:
    """Return the values that the file that an image of Pillow would be stores, upright."""
    try:
        image.load()
        stored = stored_pillow(image, keeps_bands=pixels.channels is not None)
    except (OSError, SyntaxError, ValueError) as error:
        raise DecodeError(f"cannot be loaded: {error}") from None
    if stored.values.dtype.kind == "f" and not np.isfinite(stored.values).all():
        raise DecodeError(NOT_FINITE)
    orientation = exif_orientation(image.info.get("exif", b""))
    return replace(stored, values=upright(stored.values, orientation))


def _of_array(array: NDArray[Any], pixels: PixelFormat) -> Rendered:
    def no_image(reason: str) -> ValueError:
        return ValueError(
            f"an array of shape {array.shape} and {array.dtype} is no image: must be uint8 "
            f"(H, W, {pixels.count}) or (H, W){reason}"
        )

    values = array[:, :, None] if array.ndim == 2 else array
    if values.ndim != 3 or array.size == 0 or array.dtype.kind not in "uif":
        raise no_image("")
    if array.dtype == np.uint8 and values.shape[2] == pixels.count:
        return Rendered(values)
    if pixels.channels is None and values.shape[2] not in (1, 3):
        raise no_image("")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DecodeError(NOT_FINITE)
    try:
        return rendered(StoredImage(values=values, bands=values.shape[2]), pixels)
    except StoredError as error:
        raise no_image(f"; {error}") from None
