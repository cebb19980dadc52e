"""The image operations of policies, by Pillow, which the papers' code uses too."""

from __future__ import annotations

import functools
import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trickbag.data.policies.magnitudes import Interpolation, Operation

__all__ = ["blur", "grey", "operate"]

_GREY = 128
_RESAMPLING = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}


def operate(
    image: Image.Image,
    operation: Operation,
    value: float,
    fill: int = 0,
    interpolation: Interpolation = "nearest",
    place: tuple[float, float] = (0.5, 0.5),
) -> Image.Image:
    """Apply one operation to an RGB image; return a new image of the same size.

    `value` is the operation's argument in the unit of `magnitudes.RANGES`; operations without an
    argument ignore it. Areas that a rotation, shear or translation leaves empty get the grey level
    `fill`. A rotation keeps the centre in place, a shear the top or left edge. The centre of the
    square of `cutout` lies at `place`: shares of width and height, in [0, 1).
    """
    if operation == "cutout":
        return _cutout(image, round(value), place)
    if operation in _COLOUR:
        return _COLOUR[operation](image, value)
    resample, colour = _RESAMPLING[interpolation], (fill, fill, fill)
    if operation == "rotate":
        return image.rotate(value, resample, fillcolor=colour)
    return image.transform(
        image.size, Image.Transform.AFFINE, _AFFINE[operation](value), resample, fillcolor=colour
    )


def grey(image: Image.Image) -> Image.Image:
    """Return an RGB image whose channels are its grey, 0.299 R + 0.587 G + 0.114 B."""
    return image.convert("L").convert("RGB")


def blur(image: Image.Image, radius: float) -> Image.Image:
    """Return an image blurred by a Gaussian with the standard deviation `radius`, in pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def _cutout(image: Image.Image, side: int, place: tuple[float, float]) -> Image.Image:
    """Make a square grey; its part beyond the edges of the image is lost."""
    left, top = (
        int(share * pixels) - side // 2 for share, pixels in zip(place, image.size, strict=True)
    )
    cut = image.copy()
    cut.paste((_GREY, _GREY, _GREY), (left, top, left + side, top + side))
    return cut


# (a, b, c, d, e, f): the pixel at x, y comes from a x + b y + c, d x + e y + f.
_AFFINE: Mapping[str, Callable[[float], tuple[float, ...]]] = MappingProxyType(
    {
        "shear_x": lambda slope: (1, slope, 0, 0, 1, 0),
        "shear_y": lambda slope: (1, 0, 0, slope, 1, 0),
        "translate_x": lambda pixels: (1, 0, -pixels, 0, 1, 0),
        "translate_y": lambda pixels: (1, 0, 0, 0, 1, -pixels),
    }
)


@functools.cache
def _kept_bits(bits: int) -> list[int]:
    mask = 256 - (1 << (8 - bits))
    return [level & mask for level in range(256)] * 3


def _posterize(image: Image.Image, bits: float) -> Image.Image:
    # ImageOps.posterize refuses 0 bits, which the lowest magnitudes of Assemble-ResNet mean;
    # otherwise the two are the same.
    return image.point(_kept_bits(int(bits)))


def _solarize_add(image: Image.Image, levels: float) -> Image.Image:
    """Add `levels` to the pixels below 128, up to 255."""
    added = [min(255, level + int(levels)) if level < 128 else level for level in range(256)]
    return image.point(added * 3)


_COLOUR: Mapping[str, Callable[[Image.Image, float], Image.Image]] = MappingProxyType(
    {
        "identity": lambda image, _: image.copy(),
        "brightness": lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
        "color": lambda image, factor: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
        "sharpness": lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
        "posterize": _posterize,
        "solarize": lambda image, threshold: ImageOps.solarize(image, math.ceil(threshold)),
        "solarize_add": _solarize_add,
        "auto_contrast": lambda image, _: ImageOps.autocontrast(image),
        "equalize": lambda image, _: ImageOps.equalize(image),
        "invert": lambda image, _: ImageOps.invert(image),
    }
)
