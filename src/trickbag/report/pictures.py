"""Pictures: images as data that a page can hold, and a recipe drawn as a PNG."""

from __future__ import annotations

import base64
import io
import math
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError
from trickbag.files import replacing
from trickbag.report.svg import PRINT, drawing, plain_axes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Image", "Picture", "PicturePanel", "Pictures", "data_uri", "draw_recipe"]

Image = np.ndarray[Any, np.dtype[np.uint8]]
"""An image, uint8: (H, W, 3), (H, W, 1) or (H, W)."""

_SMALL = 64  # pixels of a side up to which an image is kept as it is
_LARGEST = 224
_NOTE_COLUMNS = 120


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image with what is said of it; `predicted` and `confidence` in [0, 1] are for images that
    were predicted."""

    image: Image
    name: str = ""
    label: str = ""
    predicted: str = ""
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The images of a page: the most confident mistakes, a batch as the network is trained on it.

    `absent` says why there are none, where there are none.
    """

    mistakes: Sequence[Picture] = field(default_factory=tuple)
    augmented: Sequence[Picture] = field(default_factory=tuple)
    absent: str = ""


def data_uri(image: Image) -> str:
    """Encode an image as a `data:` URI: PNG up to 64 pixels, else JPEG of at most 224 pixels a side.

    Raises ValueError for an array that is no image.
    """
    from PIL import Image as Pillow

    picture = Pillow.fromarray(_rgb(image))
    file = io.BytesIO()
    if max(picture.size) <= _SMALL:
        picture.save(file, format="PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((_LARGEST, _LARGEST), Pillow.Resampling.LANCZOS)
        picture.save(file, format="JPEG", quality=88, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _rgb(image: Image) -> Image:
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    if (
        array.ndim != 3
        or array.shape[2] not in (1, 3)
        or array.dtype != np.uint8
        or 0 in array.shape
    ):
        raise ValueError(
            f"an array of shape {array.shape} and {array.dtype} is no image: must be uint8 (H, W, "
            f"3)"
        )
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


@dataclass(frozen=True, kw_only=True)
class PicturePanel:
    """Images under a title."""

    title: str
    images: Sequence[Image]


def draw_recipe(
    schedule_points: Sequence[tuple[float, float]],
    panels: Sequence[PicturePanel],
    path: Path,
    note: str = "",
) -> None:
    """Draw a recipe as a PNG: its learning rate over the epochs, above panels of images, eight in a row.

    `schedule_points` are (epochs done, learning rate), as `schedule_points` samples them. A panel
    without images is left out. The `note` stands below them. The same input gives the same bytes.
    Raises UserError where the name of the file does not end in .png or its folder does not exist.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"cannot draw to {path}: the name must end in .png")
    if not path.parent.is_dir():
        raise UserError(f"cannot draw to {path}: there is no folder {path.parent}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = [panel for panel in panels if panel.images]
    columns = min(8, max((len(panel.images) for panel in panels), default=1))
    rows = [math.ceil(len(panel.images) / columns) for panel in panels]
    width, chart, title, cell = 8.0, 2.75, 0.35, 7.6 / columns if columns > 3 else 1.6
    lines, line = textwrap.wrap(note, _NOTE_COLUMNS), 0.16
    with drawing(PRINT):
        foot = (len(lines) + 1) * line if lines else 0.0
        height = chart + sum(rows) * cell + len(panels) * title + foot
        figure = Figure(figsize=(width, height), facecolor="white", dpi=120)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.085, 1 - (chart - 0.45) / height, 0.89, (chart - 0.8) / height))
        plain_axes(axes)
        axes.plot(
            *zip(*schedule_points, strict=True),
            color=PRINT.blue,
            marker="o" if len(schedule_points) == 1 else None,
        )
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.set_title("learning rate", loc="left", size=10.5, color=PRINT.ink)
        axes.set_xlabel("epoch")
        bottom = height - chart
        for panel, count in zip(panels, rows, strict=True):
            bottom -= title + count * cell
            figure.text(0.025, (bottom + count * cell + 0.17) / height, panel.title, size=10.5)
            for number, image in enumerate(panel.images):
                row, column = divmod(number, columns)
                left, low = 0.2 + column * cell, bottom + (count - 1 - row) * cell + 0.1
                place = figure.add_axes(
                    (left / width, low / height, cell * 0.95 / width, cell * 0.95 / height)
                )
                place.imshow(
                    _rgb(image),
                    interpolation="nearest" if max(image.shape[:2]) <= _SMALL else "antialiased",
                )
                place.axis("off")
        for number, text in enumerate(lines):
            figure.text(
                0.025, (foot - (number + 1) * line) / height, text, size=8.5, color=PRINT.ink
            )
        with replacing(path) as file:
            figure.savefig(file, format="png", metadata={"Software": None})
