"""Charts of a run as inline SVG: curves over the epochs, confusion matrix, reliability diagram.

Shapes: K classes, B bins of confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from trickbag.report.svg import PAGE, drawing, plain_axes, printable, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from trickbag.report.run.predictions import Confusion, Reliability

__all__ = ["LARGEST_MATRIX", "Series", "confusion_chart", "line_chart", "reliability_chart"]

LARGEST_MATRIX = 100
"""The largest number of classes whose confusion matrix is legible as a picture."""

_MAX_NAMES = 30  # classes whose names fit beside the matrix
_MAX_COUNTS = 16  # classes whose counts fit into the cells
_LEVELS = 10  # shades of a cell
_DASHES = (0, (3, 1.6))


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of a chart: points (x, y), with y None where it is undefined."""

    label: str
    points: Sequence[tuple[float, float | None]]
    color: Literal["blue", "orange"] = "blue"
    dashed: bool = False

    @property
    def drawable(self) -> bool:
        """Whether there is a point to draw."""
        return any(y is not None for _, y in self.points)


def line_chart(
    series: Sequence[Series],
    *,
    name: str,
    label: str,
    x: str = "epoch",
    y: str,
    now: float | None = None,
) -> str | None:
    """Draw lines over the epochs of a run; None if no line has a point.

    `now` is the number of epochs done, which is marked.
    """
    drawn = [line for line in series if line.drawable]
    if not drawn:
        return None
    # Not pyplot, which keeps every figure until it is closed, and may ask for a display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with drawing(PAGE):
        figure = Figure(figsize=(5, 3.1), layout="constrained")
        axes = figure.subplots()
        plain_axes(axes)
        for line in drawn:
            _plot_series(axes, line)
        if now is not None:
            axes.axvline(now, color=PAGE.orange, linewidth=1.2)
            axes.annotate(
                "now",
                (now, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -9),
                textcoords="offset points",
                size=10,
            )
        if len(drawn) > 1:
            figure.legend(
                loc="outside upper left",
                ncols=2,
                handlelength=1.8,
                columnspacing=1.6,
                borderaxespad=0.1,
            )
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(x=0.02)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        return render(figure, name, label)


def _plot_series(axes: Axes, line: Series) -> None:
    # NaN interrupts the line; without the point its neighbours would be joined.
    points = [(x, math.nan if y is None else y) for x, y in line.points]
    one_point = sum(not math.isnan(y) for _, y in points) == 1
    axes.plot(
        *zip(*points, strict=True),
        color=getattr(PAGE, line.color),
        linestyle=_DASHES if line.dashed else "solid",
        marker="o" if one_point else None,  # a line through one point is invisible
        label=printable(line.label, 40),
    )


def confusion_chart(confusion: Confusion, *, name: str = "confusion") -> str | None:
    """Draw the confusion matrix, shaded by the share of each label's images.

    None if the matrix is empty, or too large to be legible.
    """
    k = len(confusion.classes)
    if not 0 < k <= LARGEST_MATRIX:
        return None
    from matplotlib.figure import Figure

    counts_KK = confusion.counts
    # A class that was only predicted has no image: its share would be 0 / 0.
    share_KK = counts_KK / np.maximum(1, counts_KK.sum(1, keepdims=True))
    # The square root makes a rare confusion visible; a cell with a count is never blank.
    level_KK = np.where(counts_KK > 0, np.ceil(np.sqrt(share_KK) * _LEVELS), 0).astype(int)
    with drawing(PAGE):
        figure = Figure(figsize=(5.4, 5.4), layout="constrained")
        axes = figure.subplots()
        # Without names beside the matrix, a frame shows its size.
        axes.spines[:].set_visible(k > _MAX_NAMES)
        axes.spines[:].set_color(PAGE.rule)
        for on_diagonal, color in ((True, PAGE.blue_fill), (False, PAGE.orange_fill)):
            cells_KK = np.eye(k, dtype=bool) == on_diagonal
            for level in range(1, _LEVELS + 1):
                _fill_cells(axes, (level_KK == level) & cells_KK, color, level / _LEVELS)
        if k <= _MAX_COUNTS:
            size = min(11.0, 120 / k)
            for row, column in np.argwhere(counts_KK > 0):
                ink = PAGE.on_fill if level_KK[row, column] > 0.8 * _LEVELS else PAGE.ink
                count = str(counts_KK[row, column])
                axes.text(
                    column, row, count, color=ink, size=size, ha="center", va="center_baseline"
                )
        _label_classes(axes, confusion.classes)
        axes.set(
            xlim=(-0.5, k - 0.5),
            ylim=(k - 0.5, -0.5),  # the first class is at the top, as in a printed matrix
            aspect="equal",
            xlabel="predicted",
            ylabel="label",
        )
        label = (
            f"Confusion matrix of {k} classes: {np.trace(counts_KK)} of {counts_KK.sum()} images "
            "on the diagonal"
        )
        return render(figure, name, label)


def _fill_cells(axes: Axes, cells_KK: NDArray[np.bool_], color: str, opacity: float) -> None:
    """Fill cells as one path: a hundred classes must not become ten thousand SVG elements."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # The fifth corner is not drawn: matplotlib's CLOSEPOLY takes a point, and ignores it.
    corners = np.array([(-0.47, -0.47), (0.47, -0.47), (0.47, 0.47), (-0.47, 0.47), (-0.47, -0.47)])
    # argwhere gives (row, column), which is (y, x) on the axes.
    centres = np.argwhere(cells_KK)[:, ::-1]
    if len(centres):
        vertices = (centres[:, None, :] + corners).reshape(-1, 2)
        codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(centres)
        patch = PathPatch(
            Path(vertices, codes), facecolor=color, alpha=0.12 + 0.88 * opacity, linewidth=0
        )
        axes.add_patch(patch)


def _label_classes(axes: Axes, classes: Sequence[str]) -> None:
    k = len(classes)
    axes.tick_params(length=0, pad=2)
    if k > _MAX_NAMES:
        axes.set(xticks=[], yticks=[])
        return
    names = [printable(name, 16) for name in classes]
    size = min(10.0, 210 / k)
    axes.set_xticks(range(k), names, size=size, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(k), names, size=size)


def reliability_chart(reliability: Reliability, *, name: str = "reliability") -> str:
    """Draw the accuracy and the gap to the confidence in each bin; below, the images in the bin."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    bins = len(reliability.counts)
    centre_B = 100 * (np.arange(bins) + 0.5) / bins
    filled_B = reliability.counts > 0
    accuracy_B = 100 * reliability.accuracy[filled_B]
    gap_B = 100 * reliability.confidence[filled_B] - accuracy_B
    width = 100 / bins * 0.9
    with drawing(PAGE):
        figure = Figure(figsize=(5, 4.6), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(3.2, 1))
        plain_axes(upper)
        plain_axes(lower)
        upper.bar(
            centre_B[filled_B], accuracy_B, width, color=PAGE.blue, alpha=0.85, label="accuracy"
        )
        upper.bar(
            centre_B[filled_B],
            gap_B,
            width,
            bottom=accuracy_B,
            facecolor="none",
            edgecolor=PAGE.orange,
            linewidth=1.3,
            label="gap to mean confidence",
        )
        upper.plot([0, 100], [0, 100], color=PAGE.soft, linewidth=1, linestyle=(0, (3, 2)))
        upper.set(xlim=(0, 100), ylim=(0, 102), ylabel="accuracy")
        upper.set_yticks(range(0, 101, 20))
        upper.yaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
        lower.bar(centre_B, reliability.counts, width, color=PAGE.soft, alpha=0.7)
        lower.set(ylabel="images", xlabel="confidence")
        lower.set_xticks(range(0, 101, 25))
        lower.xaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
        lower.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        figure.legend(
            loc="outside upper left",
            ncols=2,
            handlelength=1.2,
            columnspacing=1.6,
            borderaxespad=0.1,
        )
        label = (
            f"Reliability diagram: accuracy against confidence in {bins} bins, "
            f"ECE {reliability.ece:.2f} %"
        )
        return render(figure, name, label)
