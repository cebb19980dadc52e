"""Boxes drawn over images: what was predicted, and the truth beside it.

Shapes: H and W pixels, B boxes (left, top, right, bottom) in pixels of the image.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trickbag.report.pictures import Image, as_rgb
from trickbag.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from PIL import Image as PillowImage
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

__all__ = ["BOX_COLOURS", "beside", "class_colour", "draw_boxes", "drawing_font"]

Colour = tuple[int, int, int]

BOX_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""The colours of classes, in turn: Okabe and Ito's, which colour-blind people can tell apart."""

_SHOWN_SIDE = 320
"""Pixels of the shorter side up to which a picture is enlarged, so that labels can be read."""

_LARGEST_FACTOR = 8
_LABEL_SHARE = 32
"""The height of a label as a share of the shorter side."""

_LONGEST_LABEL = 40
_DASH = 6


def class_colour(number: int) -> Colour:
    """Return the colour of a class."""
    return BOX_COLOURS[number % len(BOX_COLOURS)]


def draw_boxes(
    image: Image,
    boxes_B4: ArrayLike,
    labels_B: Sequence[int],
    classes: Sequence[str],
    *,
    scores_B: Sequence[float] | None = None,
    difficult_B: Sequence[bool] | None = None,
    with_labels: bool = True,
) -> Image:
    """Draw boxes with the names of their classes, and their scores, over an image.

    Small images are enlarged by a whole number. Boxes with low scores are drawn first; those of
    difficult objects are dashed. Returns uint8 (H, W, 3).
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    boxes = np.asarray(boxes_B4, np.float64).reshape(-1, 4)
    pixels = as_rgb(image)
    shorter = min(pixels.shape[:2])
    factor = min(_LARGEST_FACTOR, max(1, -(-_SHOWN_SIDE // shorter)))
    picture = Pillow.fromarray(pixels.repeat(factor, 0).repeat(factor, 1))
    canvas = ImageDraw.Draw(picture)
    shorter *= factor
    width = max(2, shorter // 200)
    font = drawing_font(max(11, shorter // _LABEL_SHARE))
    order = range(len(boxes)) if scores_B is None else np.argsort(scores_B, kind="stable").tolist()
    for i in order:
        colour = class_colour(labels_B[i])
        left, top, right, bottom = (float(edge) * factor for edge in boxes[i])
        # A rectangle of Pillow includes the pixels of its last row and column.
        corners = left, top, max(left, right - 1), max(top, bottom - 1)
        if difficult_B is not None and difficult_B[i]:
            _dashed(canvas, corners, colour, width)
        else:
            canvas.rectangle(corners, outline=colour, width=width)
    # Behind all boxes, so that no line hides a label.
    for i in order if with_labels else ():
        name = printable(classes[labels_B[i]])
        short = name if len(name) <= _LONGEST_LABEL else f"{name[:_LONGEST_LABEL]}..."
        text = short if scores_B is None else f"{short} {scores_B[i]:.2f}"
        corner = factor * boxes[i, 0], factor * boxes[i, 1]
        _label(canvas, picture.size, corner, text, class_colour(labels_B[i]), font)
    return np.asarray(picture)


def _dashed(
    canvas: ImageDraw, corners: tuple[float, float, float, float], colour: Colour, width: int
) -> None:
    left, top, right, bottom = corners
    step = _DASH * width
    for x in np.arange(left, right, 2 * step):
        for y in (top, bottom):
            canvas.line((x, y, min(x + step, right), y), fill=colour, width=width)
    for y in np.arange(top, bottom, 2 * step):
        for x in (left, right):
            canvas.line((x, y, x, min(y + step, bottom)), fill=colour, width=width)


def _label(
    canvas: ImageDraw,
    size: tuple[int, int],
    corner: tuple[float, float],
    text: str,
    colour: Colour,
    font: FreeTypeFont,
) -> None:
    """Write a label above a corner, or below it where there is no room above."""
    _, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    margin = max(1.0, (bottom - top) / 6)
    width, height = right + 2 * margin, bottom + 2 * margin
    x = min(max(0.0, corner[0]), max(0.0, size[0] - width))
    y = corner[1] - height
    if y < 0:
        y = min(max(0.0, corner[1]), max(0.0, size[1] - height))
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    red, green, blue = colour
    # The luminance of the filled label decides whether its text is dark or light.
    dark = 0.299 * red + 0.587 * green + 0.114 * blue > 110
    canvas.text((x + margin, y + margin), text, fill=(0, 0, 0) if dark else (255,) * 3, font=font)


@cache
def drawing_font(size: int) -> FreeTypeFont:
    """Return a font with the letters of many languages."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size
    )


def beside(pictures: Sequence[Image], titles: Sequence[str] = ()) -> Image:
    """Lay pictures beside each other on white, at their top, with titles above them.

    Returns uint8 (H, W, 3).
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    images = [as_rgb(picture) for picture in pictures]
    gap = max(4, min(min(image.shape[:2]) for image in images) // 40)
    height = max(image.shape[0] for image in images)
    font = drawing_font(max(12, height // 24))
    head = int(font.size * 1.6) if titles else 0
    width = sum(image.shape[1] for image in images) + gap * (len(images) - 1)
    sheet: PillowImage.Image = Pillow.new("RGB", (width, height + head), (255, 255, 255))
    canvas = ImageDraw.Draw(sheet)
    left = 0
    for i, image in enumerate(images):
        sheet.paste(Pillow.fromarray(image), (left, head))
        if i < len(titles):
            canvas.text((left, head // 8), printable(titles[i]), fill=(0, 0, 0), font=font)
        left += image.shape[1] + gap
    return np.asarray(sheet)
