"""Images as data that a page can hold."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SMALL_SIDE", "Compared", "Image", "Picture", "Pictures", "as_rgb", "data_uri"]

Image = np.ndarray[Any, np.dtype[np.uint8]]
"""An image, uint8: (H, W, 3), (H, W, 1) or (H, W)."""

SMALL_SIDE = 64
"""Pixels of the longer side up to which an image is drawn pixel by pixel."""

_LARGEST_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image with its caption.

    `predicted` and `confidence`, in [0, 1], are those of an image that was predicted. `heat` is
    what the network sees of it, with the heat map of the predicted class over it, if there is one.
    """

    image: Image
    name: str = ""
    label: str = ""
    predicted: str = ""
    confidence: float | None = None
    heat: Image | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A picture of what was predicted for an image, with the truth beside it.

    `score` in percent says how good the prediction is, None where that is undefined. `group` says
    why the image was chosen.
    """

    image: Image
    name: str
    group: str
    score: float | None


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The images of a page: the most confident mistakes, and a batch as it is trained on.

    Of a run of another task than classification `compared` are predictions beside the truth. If
    there are none, `absent` says why.
    """

    mistakes: Sequence[Picture] = field(default_factory=tuple)
    augmented: Sequence[Picture] = field(default_factory=tuple)
    compared: Sequence[Compared] = field(default_factory=tuple)
    absent: str = ""


def data_uri(image: Image, largest: int = _LARGEST_SIDE) -> str:
    """Encode an image as a `data:` URI: a PNG up to 64 pixels a side, else a JPEG.

    That has `largest` pixels a side at most, by default 224. Raises ValueError for an array that
    is no image.
    """
    from PIL import Image as Pillow

    picture = Pillow.fromarray(as_rgb(image))
    file = io.BytesIO()
    if max(picture.size) <= SMALL_SIDE:
        # In an image of so few pixels the blocks of JPEG would be visible.
        picture.save(file, format="PNG", optimize=True)
        kind = "png"
    else:
        # Works in place, keeps the proportions and, unlike `resize`, never enlarges.
        picture.thumbnail((largest, largest), Pillow.Resampling.LANCZOS)
        picture.save(file, format="JPEG", quality=88, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def as_rgb(image: Image) -> Image:
    """Return an image as uint8 (H, W, 3), of more channels the first three, of two the first.

    Raises ValueError for an array that is no image.
    """
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    shaped = array.ndim == 3 and 0 not in array.shape
    if not shaped or array.dtype != np.uint8:
        raise ValueError(
            f"an array of shape {array.shape} and {array.dtype} is no image: "
            "must be uint8 (H, W, C)"
        )
    array = array[:, :, : 3 if array.shape[2] >= 3 else 1]
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
