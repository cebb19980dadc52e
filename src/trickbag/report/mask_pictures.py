"""Masks drawn over images: what was predicted, the truth beside it, and what the colours mean.

Shapes: H and W pixels, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.report.box_pictures import beside, drawing_font
from trickbag.report.pictures import Image, as_rgb
from trickbag.tasks.mask_predictions import class_colours
from trickbag.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["draw_mask", "legend", "mask_comparison"]

_OPACITY = 0.65
_CONTRAST = 0.4
"""How much of an image's contrast stays under the colours."""

_EDGE = (255, 255, 255)
_NO_CLASS = 0.35
"""How bright an image is where a pixel has no class."""

_SMALLEST_FONT = 12
_LONGEST_NAME = 40


def draw_mask(image: Image, classes_HW: NDArray[np.uint8], num_classes: int) -> Image:
    """Draw the classes of pixels over an image, with white lines where two classes meet.

    So regions stay apart whose colours are alike to an eye. Where a pixel has no class the image is
    dark. Returns uint8 (H, W, 3). Raises ValueError for a mask of another size.
    """
    pixels = as_rgb(image)
    if pixels.shape[:2] != classes_HW.shape:
        raise ValueError(f"an image of {pixels.shape[:2]} pixels, and a mask of {classes_HW.shape}")
    has_class = classes_HW < num_classes
    # Grey, of little contrast: so the colours are those of the legend, in light and in shadow.
    grey = 128 + _CONTRAST * (pixels.mean(axis=2, keepdims=True) - 128)
    colours = class_colours(num_classes)[np.where(has_class, classes_HW, 0)]
    drawn = np.where(
        has_class[:, :, None], grey * (1 - _OPACITY) + colours * _OPACITY, pixels * _NO_CLASS
    )
    drawn[_edges(classes_HW)] = _EDGE
    return drawn.round().clip(0, 255).astype(np.uint8)


def _edges(classes_HW: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels right of, or below, which another class begins."""
    edges = np.zeros(classes_HW.shape, bool)
    edges[:, :-1] |= classes_HW[:, :-1] != classes_HW[:, 1:]
    edges[:-1] |= classes_HW[:-1] != classes_HW[1:]
    return edges


def legend(numbers: Sequence[int], classes: Sequence[str], width: int) -> Image:
    """Draw the colours and the names of classes, in as many lines as `width` pixels need.

    The colours are those that `draw_mask` has on a grey of medium brightness. Returns uint8 (H,
    `width`, 3).
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    font = drawing_font(_SMALLEST_FONT)
    side, gap = _SMALLEST_FONT + 2, _SMALLEST_FONT // 2
    names = [_short(classes[number]) for number in numbers]
    places, x, line = [], gap, 0
    for name in names:
        length = side + gap + int(font.getlength(name)) + 2 * gap
        if x > gap and x + length > width:
            x, line = gap, line + 1
        places.append((x, gap + line * (side + gap)))
        x += length
    height = gap + (line + 1) * (side + gap) if names else 1
    sheet = Pillow.new("RGB", (width, height), (255, 255, 255))
    canvas = ImageDraw.Draw(sheet)
    colours = class_colours(len(classes)).astype(np.float64) * _OPACITY + 128 * (1 - _OPACITY)
    for number, name, (left, top) in zip(numbers, names, places, strict=True):
        colour = tuple(int(level) for level in colours[number].round())
        canvas.rectangle((left, top, left + side - 1, top + side - 1), fill=colour)
        canvas.text((left + side + gap, top), name, fill=(0, 0, 0), font=font)
    return np.asarray(sheet)


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."


def mask_comparison(
    image: Image,
    predicted_HW: NDArray[np.uint8],
    classes: Sequence[str],
    truth_HW: NDArray[np.uint8] | None = None,
) -> Image:
    """Lay an image, its true mask if there is one, and its predicted mask beside each other.

    Below is the legend of the classes that occur. Returns uint8 (H, W, 3).
    """
    number = len(classes)
    pictures, titles, masks = [as_rgb(image)], ["image"], [predicted_HW]
    if truth_HW is not None:
        pictures.append(draw_mask(image, truth_HW, number))
        titles.append("truth")
        masks.append(truth_HW)
    pictures.append(draw_mask(image, predicted_HW, number))
    titles.append("predicted")
    sheet = beside(pictures, titles)
    present = {int(k) for mask in masks for k in np.unique(mask) if k < number}
    below = legend(sorted(present), classes, sheet.shape[1])
    return np.concatenate([sheet, below])
