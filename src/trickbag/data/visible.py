"""How much of an image a network sees in validation, and what would show more of it.

Shapes: N images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.config import RESIZE
from trickbag.data.size import as_size, height_width, number_of_pixels, scaled, size_text
from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.data.config import Resize
    from trickbag.data.size import Size

__all__ = ["ENOUGH", "visible_notes", "visible_shares"]

ENOUGH = 0.6
"""The mean share of the pixels that validation sees below which a note says so."""

_MULTIPLE, _SMALL_MULTIPLE, _SMALL = 32, 8, 128
"""Proposed sizes are multiples of what most networks shrink images by; below 128 px of a part."""

_EXTREME = 16
"""The largest ratio of the sides of a size that is proposed."""


def visible_shares(
    shapes_N2: NDArray[np.int64], image_size: Size, resized: Size, resize: Resize
) -> NDArray[np.float64]:
    """Return the share of each image's pixels that validation sees, (N,) in (0, 1].

    `shapes_N2` are heights and widths. The centre of `image_size` is cut out of an image that is
    scaled to `resized` by `resize`; see `Preprocessing`. Rounding to pixels is left out.
    """
    cut, frame = (np.array(height_width(size), float) for size in (image_size, resized))
    factors_N2 = frame / shapes_N2
    if resize == "crop":
        factors_N2 = factors_N2.max(axis=1, keepdims=True)
    elif resize == "letterbox":
        factors_N2 = factors_N2.min(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.minimum(1, cut / (factors_N2 * shapes_N2)).prod(axis=1)
    return shares


def visible_notes(
    shapes: NDArray[np.int64] | Sequence[tuple[int, int]],
    image_size: Size,
    resized: Size,
    resize: Resize,
) -> list[Note]:
    """Return a note if validation sees less than ENOUGH of the pixels of the average image.

    The arguments are those of `visible_shares`. The note names settings that show more.
    """
    shapes_N2 = np.asarray(shapes, np.int64).reshape(-1, 2)
    if not len(shapes_N2):
        return []
    shares = visible_shares(shapes_N2, image_size, resized, resize)
    if shares.mean() >= ENOUGH:
        return []
    least = f", {_percent(shares.min())} of the least visible one" if np.ptp(shares) > 0.005 else ""
    how = {"crop": "centre crop", "squash": "squash", "letterbox": "letterbox"}[resize]
    seen = f"validation sees {_percent(shares.mean())} of the pixels of the average image{least}"
    images = f"{_shape(*np.median(shapes_N2, axis=0))} images"
    ways_out = _ways_out(shapes_N2, image_size, resized, resize)
    return [Note("data", None, f"{seen} ({how} of {images}): {ways_out}")]


def _ways_out(shapes_N2: NDArray[np.int64], image_size: Size, resized: Size, resize: Resize) -> str:
    """Name the settings that show more of images."""
    if resize != RESIZE:
        return "--set data.eval_crop=1"
    ways = "--set data.resize=squash or letterbox"
    size = _fitting_size(shapes_N2, image_size)
    ratio = height_width(resized)[0] / height_width(image_size)[0]
    more = visible_shares(shapes_N2, size, scaled(size, ratio), resize).mean() >= ENOUGH
    return f"{ways}, or --image-size {size_text(size)}" if more else ways


def _fitting_size(shapes_N2: NDArray[np.int64], image_size: Size) -> Size:
    """Return a size with the shape of the median image, and about as many pixels as another."""
    height, width = np.median(shapes_N2, axis=0)
    ratio = min(max(height, width) / min(height, width), _EXTREME)
    side = math.sqrt(number_of_pixels(image_size))
    multiple = _MULTIPLE if side >= _SMALL else _SMALL_MULTIPLE
    # The longer side follows the shorter one as it is rounded, so that the shape stays.
    short = max(1, round(side / math.sqrt(ratio) / multiple)) * multiple
    long = max(1, round(short * ratio / multiple)) * multiple
    return as_size(short, long) if width >= height else as_size(long, short)


def _shape(height: float, width: float) -> str:
    """Write a shape as width to height: `4:1`."""
    return f"{width / height:.2g}:1" if width >= height else f"1:{height / width:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
