"""Images as their files store them, and what becomes of them: 8-bit channels of one scale.

Shapes: H and W pixels, B bands of a file, C channels of an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from trickbag.data.decoding.pixels import to_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.decoding.pixel_format import PixelFormat

__all__ = [
    "NOT_FINITE",
    "WIDE_MODES",
    "Alpha",
    "Limits",
    "Rendered",
    "StoredError",
    "StoredImage",
    "picture",
    "rendered",
    "stored_pillow",
]

Alpha = Literal["none", "straight", "premultiplied"]

NOT_FINITE = "pixels that are not finite (NaN or infinity)"

WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of one band of more than 8 bits."""

_BANDS = {"1": 1, "L": 1, "LA": 2, "La": 2, "RGBA": 4, "RGBa": 4}
"""The bands of Pillow's 8-bit modes; of all others they are three."""

_EIGHT = 8
"""The bits of a channel."""


_HUGE = 1e30
"""The end of a range from which products could be too large for floats of 32 bits."""

_SAMPLE = 1 << 18
"""How many values of an image tell which of them are rare."""

_OUTER = 0.001
"""The share of the values that may be the lowest, and the highest, by some fault of a sensor."""


class Limits(NamedTuple):
    """The smallest and largest values of an image; and those without the rare ones."""

    low: float
    high: float
    inner_low: float
    inner_high: float


class StoredError(ValueError):
    """Report an image whose stored values cannot become the channels that are needed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredImage:
    """The values of an image, of the type that its file has.

    values: (H, W, B), or uint8 (H, W, 3) with `converted`: RGB already, whatever the file has.
    bands: the values of a pixel in the file. alpha: whether the last band is transparency.
    white_is_zero: whether the lowest value is the brightest.
    """

    values: NDArray[Any]
    bands: int
    alpha: Alpha = "none"
    white_is_zero: bool = False
    converted: bool = False

    @property
    def pixel_type(self) -> str:
        """The type of the values by numpy's name, such as `uint16`."""
        # numpy puts a name together each time, which takes as long as to cut out a crop.
        return "uint8" if self.values.dtype == np.uint8 else self.values.dtype.name

    @property
    def unused_bands(self) -> int:
        """How many bands are neither colour nor transparency."""
        colours = 3 if self.bands > 2 else 1
        return self.bands - colours - (self.alpha != "none")

    @property
    def opaque_values(self) -> NDArray[Any]:
        """The values without transparency."""
        return self.values[..., : self.bands - (self.alpha != "none")]

    def limits(self) -> Limits:
        """Return the smallest and the largest values, transparency left out; of uint8 all."""
        if self.pixel_type == "uint8":
            return Limits(0.0, 255.0, 0.0, 255.0)
        values = self.opaque_values
        low, high = float(values.min()), float(values.max())
        # Every so many values say enough, and are sorted in no time.
        sample = values.reshape(-1)[:: max(1, values.size // _SAMPLE)]
        last = len(sample) - 1
        # At least one value is left out, however few there are.
        rank = min(last // 2, math.ceil(_OUTER * last))
        part = np.partition(sample, (rank, last - rank))
        return Limits(low, high, float(part[rank]), float(part[last - rank]))


def stored_pillow(image: Image.Image, *, keeps_bands: bool) -> StoredImage:
    """Return the values of an image that Pillow has loaded; 8-bit ones as RGB or as bands."""
    if image.mode in WIDE_MODES:
        values = np.asarray(image)[:, :, None]
        return StoredImage(values=values.astype(values.dtype.newbyteorder("=")), bands=1)
    if keeps_bands:
        return _bands(image)
    bands = _BANDS.get(image.mode, 3)
    alpha: Alpha = "straight" if bands in (2, 4) else "none"
    return StoredImage(values=to_rgb(image), bands=bands, alpha=alpha, converted=True)


def _bands(image: Image.Image) -> StoredImage:
    """Return the bands of a loaded 8-bit image: palette and CMYK as RGB, 1 bit as grey."""
    if image.mode in ("La", "RGBa"):
        # Pillow converts these to nothing but their own mode without premultiplication.
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("1", "L", "LA", "RGB", "RGBA"):
        values = np.asarray(image.convert("L") if image.mode == "1" else image)
    else:
        values = to_rgb(image)
    values = values[:, :, None] if values.ndim == 2 else values
    return StoredImage(values=values, bands=values.shape[2])


def picture(stored: StoredImage, limits: Limits) -> NDArray[np.uint8]:
    """Return RGB (H, W, 3) that shows an image by its own limits, to compare it with others."""
    if stored.converted:
        return stored.values
    ends = (0.0, 255.0)
    if stored.pixel_type != "uint8":
        ends = (limits.inner_low, max(limits.inner_high, limits.inner_low + 1e-6))
    colours, _ = _scaled(stored.values[:, :, : 3 if stored.bands > 2 else 1], ends)
    return colours if colours.shape[2] == 3 else np.repeat(colours, 3, axis=2)


class Rendered(NamedTuple):
    """An image as uint8 (H, W, C), and what became of its values.

    clipped: how many of them lie beyond the range. used: the share of the range between the
    smallest and the largest; None for 8-bit images.
    """

    pixels: NDArray[np.uint8]
    clipped: int = 0
    used: float | None = None


def rendered(stored: StoredImage, form: PixelFormat) -> Rendered:
    """Return an image with the channels and the range of a form.

    Raises StoredError for bands that are missing or too many, and for a type whose range is not
    known.
    """
    limits = form.range_of(stored.pixel_type)
    if limits is None:
        raise StoredError(
            f"{stored.pixel_type} pixels, of which no range is known (data.pixel_range gives one)"
        )
    if problem := form.problem(stored.bands, stored.unused_bands):
        raise StoredError(problem)
    if form.channels is None:
        return _with_use(_as_rgb(stored, limits), stored, limits)
    values = stored.values
    # A view where the channels are the first ones in their order.
    if form.channels == tuple(range(len(form.channels))):
        values = values[:, :, : len(form.channels)]
    else:
        values = values[:, :, list(form.channels)]
    return _with_use(_scaled(values, limits, inverted=stored.white_is_zero), stored, limits)


def _with_use(
    result: tuple[NDArray[np.uint8], int], stored: StoredImage, limits: tuple[float, float]
) -> Rendered:
    if stored.pixel_type == "uint8":
        return Rendered(*result)
    values, (low, high) = stored.opaque_values, limits
    used = (min(float(values.max()), high) - max(float(values.min()), low)) / (high - low)
    return Rendered(*result, used=max(0.0, used))


def _as_rgb(stored: StoredImage, limits: tuple[float, float]) -> tuple[NDArray[np.uint8], int]:
    """Return an image as uint8 (H, W, 3), and how many of its values lie beyond the range."""
    if stored.converted:
        return _scaled(stored.values, limits)
    colours = 3 if stored.bands > 2 else 1
    transparent = stored.alpha != "none"
    grey_or_rgb, outside = _scaled(
        stored.values[:, :, :colours], limits, inverted=stored.white_is_zero
    )
    if transparent:
        alpha, _ = _scaled(stored.values[:, :, -1:], _opaque(stored.values.dtype))
        return _over_white(grey_or_rgb, alpha, stored.alpha), outside
    if colours == 3:
        return grey_or_rgb, outside
    return np.repeat(grey_or_rgb, 3, axis=2), outside


def _opaque(dtype: np.dtype[Any]) -> tuple[float, float]:
    return (0.0, 1.0) if dtype.kind == "f" else (0.0, float(np.iinfo(dtype).max))


def _over_white(
    colours: NDArray[np.uint8], alpha: NDArray[np.uint8], kind: Alpha
) -> NDArray[np.uint8]:
    mode = {1: ("LA", "La"), 3: ("RGBA", "RGBa")}[colours.shape[2]][kind == "premultiplied"]
    pixels = np.concatenate([colours, alpha], axis=2)
    return to_rgb(Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()))


def _scaled(
    values: NDArray[Any], limits: tuple[float, float], *, inverted: bool = False
) -> tuple[NDArray[np.uint8], int]:
    """Map the range to 0..255; return how many values lie beyond it, which become its ends."""
    low, high = limits
    if values.dtype == np.uint8 and limits == (0.0, 255.0):
        eight, outside = values, 0
    else:
        outside = 0
        if values.size and (values.min() < low or values.max() > high):
            outside = int(np.count_nonzero((values < low) | (values > high)))
        eight = _eight_bits(values, low, high)
    return (255 - eight if inverted else np.ascontiguousarray(eight)), outside


def _eight_bits(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    depth = (int(high) + 1).bit_length() - 1
    is_depth = low == 0 and high == 2**depth - 1 and depth >= _EIGHT
    if is_depth and values.dtype.kind in "ui":
        # The upper bits, as everywhere: 65535 of 16 bits and 4095 of 12 bits are 255.
        limit = min(int(high), int(np.iinfo(values.dtype).max))
        upper: NDArray[np.uint8] = (np.clip(values, 0, limit) >> (depth - _EIGHT)).astype(np.uint8)
        return upper
    huge = max(abs(low), abs(high)) > _HUGE
    in_32_bits = values.dtype.itemsize <= 2 or values.dtype == np.float32
    exact = np.float32 if in_32_bits and not huge else np.float64
    # Clipped first: a float can be too large for what follows.
    scaled: Any = np.clip(values.astype(exact), exact(low), exact(high))
    if low:
        scaled -= exact(low)
    span = high - low
    if huge:
        scaled = scaled / exact(span) * 255
    elif span != 255:
        # In this order, so that the middle of a range is the same of every type.
        scaled *= exact(255)
        scaled /= exact(span)
    rounded: NDArray[np.uint8] = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return rounded
