"""A recipe drawn as a PNG: its learning rate, an augmented batch, what tricks do to images."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.files import replacing
from trickbag.report.pictures import SMALL_SIDE, Image, as_rgb
from trickbag.report.svg import PRINT, drawing, plain_axes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from trickbag.optim.schedule import Schedule

__all__ = ["PicturePanel", "draw_recipe", "schedule_points"]

_WIDTH, _CHART, _TITLE, _LINE = 8.0, 2.75, 0.35, 0.16
"""Inches: width of the picture, heights of the chart, of a panel's title, of a line of the note."""

_NOTE_COLUMNS = 120


@dataclass(frozen=True, kw_only=True)
class PicturePanel:
    """Images under a title."""

    title: str
    images: Sequence[Image]


def schedule_points(
    schedule: Schedule,
    lr: float,
    epochs: float,
    steps_per_epoch: int,
    most: int = 600,
    *,
    head_epochs: float = 0,
) -> list[tuple[float, float]]:
    """Sample a schedule for drawing: (epochs done, learning rate) at up to about `most` steps.

    The last step is included. Up to half of the points lie in the warm-up, which is too short to be
    drawn well by evenly spaced ones. In the first `head_epochs` the rate is `lr`; the schedule is
    that of the others.
    """
    alone = min(head_epochs, epochs)
    before = [(0.0, lr), (alone, lr)] if alone else []
    if alone == epochs:
        return before
    total = max(1, round((epochs - alone) * steps_per_epoch))
    warm = min(total, round(schedule.warmup_epochs * steps_per_epoch))
    dense = max(1, math.ceil(2 * warm / most))
    coarse = max(1, math.ceil(2 * (total - warm) / most))
    steps = [*range(0, warm, dense), *range(warm, total, coarse)]
    if steps[-1] != total - 1:  # a schedule is judged by its end
        steps.append(total - 1)
    return before + [
        (
            alone + step / steps_per_epoch,
            lr * schedule.factor(step, steps_per_epoch, epochs - alone),
        )
        for step in steps
    ]


def draw_recipe(
    points: Sequence[tuple[float, float]],
    panels: Sequence[PicturePanel],
    path: Path,
    note: str = "",
) -> None:
    """Draw a recipe as a PNG: its learning rate over the epochs, above panels of images.

    `points` are those of `schedule_points`. A panel has eight images in a row; one without images
    is left out. The `note` stands below the panels. The same input gives the same bytes. Raises
    UserError if the file's name does not end in .png or its folder does not exist.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"cannot draw to {path}: the name must end in .png")
    if not path.parent.is_dir():
        raise UserError(f"cannot draw to {path}: there is no folder {path.parent}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [panel for panel in panels if panel.images]
    columns = min(8, max((len(panel.images) for panel in panels), default=1))
    cell = 7.6 / columns if columns > 3 else 1.6
    heights = [math.ceil(len(panel.images) / columns) * cell for panel in panels]
    lines = textwrap.wrap(note, _NOTE_COLUMNS)
    foot = (len(lines) + 1) * _LINE if lines else 0.0
    bottom = foot + sum(heights) + len(panels) * _TITLE
    with drawing(PRINT):
        # The style's figures are transparent: a dark viewer would hide the dark text.
        figure = Figure(figsize=(_WIDTH, _CHART + bottom), facecolor="white", dpi=120)
        FigureCanvasAgg(figure)
        _draw_schedule(figure, points)
        for panel, height in zip(panels, heights, strict=True):
            bottom -= _TITLE + height
            _draw_panel(figure, panel, columns, cell, bottom, height)
        for number, text in enumerate(lines):
            y = (foot - (number + 1) * _LINE) / figure.get_figheight()
            figure.text(0.025, y, text, size=8.5, color=PRINT.ink)
        with replacing(path) as file:
            # Without the software's version the bytes do not change with matplotlib's.
            figure.savefig(file, format="png", metadata={"Software": None})


def _draw_schedule(figure: Figure, points: Sequence[tuple[float, float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    height = figure.get_figheight()
    axes = figure.add_axes((0.085, 1 - (_CHART - 0.45) / height, 0.89, (_CHART - 0.8) / height))
    plain_axes(axes)
    axes.plot(
        *zip(*points, strict=True),
        color=PRINT.blue,
        marker="o" if len(points) == 1 else None,
    )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_title("learning rate", loc="left", size=10.5, color=PRINT.ink)
    axes.set_xlabel("epoch")


def _draw_panel(
    figure: Figure, panel: PicturePanel, columns: int, cell: float, bottom: float, height: float
) -> None:
    """Draw a panel whose images lie between `bottom` and `bottom + height`, in inches."""
    total = figure.get_figheight()
    figure.text(0.025, (bottom + height + 0.17) / total, panel.title, size=10.5)
    for number, image in enumerate(panel.images):
        row, column = divmod(number, columns)
        left, low = 0.2 + column * cell, bottom + height - (row + 1) * cell + 0.1
        # Placed by hand, so that all images of a picture have one size.
        axes = figure.add_axes(
            (left / _WIDTH, low / total, cell * 0.95 / _WIDTH, cell * 0.95 / total)
        )
        axes.imshow(
            as_rgb(image),
            interpolation="nearest" if max(image.shape[:2]) <= SMALL_SIDE else "antialiased",
        )
        axes.axis("off")
