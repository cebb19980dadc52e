"""The size of images in pixels: a number for squares, else a pair of height and width."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = [
    "SMALLEST_SIDE",
    "Size",
    "as_size",
    "height_width",
    "number_of_pixels",
    "resize_of",
    "scaled",
    "shorter_side",
    "size_text",
    "sizes_text",
]

Size = int | tuple[int, int]
"""A side of a square, or height and width. A square is always a number."""

SMALLEST_SIDE = 8
"""The shortest side of images, in pixels, that networks are trained on."""


def as_size(height: int, width: int) -> Size:
    """Return a size of height and width: a number if they are equal."""
    return height if height == width else (height, width)


def height_width(size: Size) -> tuple[int, int]:
    """Return height and width of a size."""
    return size if isinstance(size, tuple) else (size, size)


def resize_of(image_size: Size, eval_crop: float) -> Size:
    """Return the size to which images are scaled: ceil(image_size / eval_crop)."""
    # 42 / 0.7 = 60.00000000000001 is meant to be 60.
    height, width = (math.ceil(round(side / eval_crop, 6)) for side in height_width(image_size))
    return as_size(height, width)


def shorter_side(size: Size) -> int:
    """Return the shorter side of a size."""
    return min(height_width(size))


def number_of_pixels(size: Size) -> int:
    """Return height times width."""
    height, width = height_width(size)
    return height * width


def scaled(size: Size, factor: float, smallest: int = 0) -> Size:
    """Return a size with both sides multiplied and rounded, each at least `smallest`."""
    height, width = (max(smallest, round(side * factor)) for side in height_width(size))
    return as_size(height, width)


def size_text(size: Size) -> str:
    """Write a size as the command line takes it: `224`, or `128x512` for height and width."""
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)


def sizes_text(sizes: Iterable[Size], separator: str = ", ") -> str:
    """Write sizes, the smallest first, each once."""
    ordered = sorted(set(sizes), key=lambda size: (number_of_pixels(size), height_width(size)))
    return separator.join(map(size_text, ordered))
