"""The images that a caller gives to a network: paths, a folder, arrays, or images of Pillow."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.data.decoding.pixels import exif_orientation, to_rgb, upright
from trickbag.evaluate.inputs import find_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["GivenImage", "GivenImages", "named_images", "pillow_pixels"]

GivenImage = str | os.PathLike[str] | np.ndarray | Image.Image
"""A path; an array uint8 of RGB (H, W, 3) or grey (H, W); or an image of Pillow."""

GivenImages = GivenImage | Iterable[GivenImage]
"""Images; a single path may also be a folder, a glob, or a CSV file that names images."""


def named_images(images: GivenImages) -> Iterator[tuple[str, GivenImage | None]]:
    """Yield the name of each image, and the image; None for one that a CSV file names in vain.

    The name is the path, or the place of an array or image of Pillow among those given. Raises
    UserError for a single path that is not there, or where no images are.
    """
    if isinstance(images, str | os.PathLike):
        inputs = find_inputs([os.fspath(images)])
        yield from zip(inputs.names, inputs.paths, strict=True)
    elif isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and _is_single(images)):
        yield "0", images
    else:
        for place, image in enumerate(images):
            if isinstance(image, str | os.PathLike):
                yield os.fspath(image), image
            else:
                yield str(place), image


def _is_single(array: NDArray[Any]) -> bool:
    """Tell whether an array is an image, and not images behind each other."""
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)


def pillow_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return what `decode` returns of the file that an image of Pillow would be.

    Raises DecodeError for an image that Pillow opened, but cannot load.
    """
    try:
        image.load()
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            # More than 8 bits: what scales the numbers of files scales these.
            file = io.BytesIO()
            image.save(file, "TIFF")
            return decode(file.getvalue())
        return upright(to_rgb(image), exif_orientation(image.info.get("exif", b"")))
    except (OSError, SyntaxError, ValueError) as error:
        raise DecodeError(f"cannot be loaded: {error}") from None
