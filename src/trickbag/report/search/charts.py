"""Charts of a search: the rewards in order, and against the work of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.report.svg import PAGE, drawing, plain_axes, render

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["point_chart"]


def point_chart(
    points: Sequence[tuple[float, float]],
    *,
    name: str,
    label: str,
    x: str,
    y: str,
    best: bool = False,
    marked: tuple[float, float] | None = None,
) -> str | None:
    """Draw points (x, y); None if there are none.

    With `best` a line shows the highest y so far, for x in order; `marked` is drawn on its own.
    """
    if not points:
        return None
    # Not pyplot, which keeps every figure until it is closed, and may ask for a display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with drawing(PAGE):
        figure = Figure(figsize=(5, 3.1), layout="constrained")
        axes = figure.subplots()
        plain_axes(axes)
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, "o", markersize=3.5, alpha=0.65, color=PAGE.blue)
        if best:
            highest = [max(ys[: i + 1]) for i in range(len(ys))]
            axes.step(xs, highest, where="post", color=PAGE.orange, linewidth=1.4)
        if marked is not None:
            axes.plot(*marked, "D", markersize=6, color=PAGE.orange)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=best))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(x=0.03)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        return render(figure, name, label)
