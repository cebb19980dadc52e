"""Charts of effects as inline SVG: forest plots with intervals, heat maps of interactions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.report.format import ABSENT, number, short_title, signed, unit
from trickbag.report.study.answer import effect_label, verdict_text
from trickbag.report.svg import PAGE, drawing, plain_axes, printable, render, wrapped
from trickbag.study.designs.design import Design

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

from trickbag.study.analysis.effects import Effect

__all__ = ["forest_chart", "forest_limits", "interaction_chart"]

_ROW = 0.31  # inches of a row of a forest plot
_LINE = 0.17  # inches of a line of an axis label
_BELOW = 0.28  # of a row: where what belongs to an effect is drawn, below its interval
_DASHES: Any = (0, (3, 1.6))
_MARKS = {
    "helps": ("^", PAGE.blue),
    "hurts": ("v", PAGE.orange),
    "equivalent": ("o", PAGE.ink),
    "undetermined": ("o", PAGE.soft),
}
_MAX_WIDTHS = 4  # of the median interval: no wider part of an interval is drawn


def forest_limits(effects: Sequence[Effect], *, images: bool = True) -> tuple[float, float] | None:
    """Return the axis of a forest plot, which holds all effects and 0; None if no effect is known.

    An interval of two pairs can be as wide as a hundred effects. Such an interval may leave the
    plot; its effect may not. `images` says whether intervals for new images are drawn too.
    """
    ends = [x for e in effects for x in (e.delta, e.low, e.high) if x is not None]
    if images:
        of_images = (e.images for e in effects if e.images is not None)
        ends += [x for interval in of_images for x in (interval.low, interval.high)]
    ends += [x for e in effects if e.of_folds is not None for x in e.of_folds.means]
    if not ends:
        return None
    deltas = [abs(e.delta) for e in effects if e.delta is not None]
    widths = sorted(e.high - e.low for e in effects if e.low is not None and e.high is not None)
    reach = max([*deltas, _MAX_WIDTHS * widths[len(widths) // 2] if widths else 0.0])
    low, high = max(min([0.0, *ends]), -1.5 * reach), min(max([0.0, *ends]), 1.5 * reach)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def forest_chart(
    effects: Sequence[Effect],
    others: Sequence[Effect] | None = None,
    *,
    outcome: str = "top1",
    name: str = "forest",
    label: str = "",
    limits: tuple[float, float] | None = None,
    subject: str = Design.subject,
) -> str | None:
    """Draw effects as points with their 95 % intervals, one in a row; None if no effect is known.

    Shape, colour and a word show the verdict. A thin interval below is for new seeds and new
    images, where that is known. `others` are the effects of a second study: then a
    row holds both, the first study's as a circle, the second's below it as a square with a dashed
    interval, and verdicts are not shown. `limits` gives several charts one axis. `label` describes
    the chart in words, by default as effects of a `subject`.
    """
    both = [*effects, *(others or ())]
    limits = limits or forest_limits(both, images=others is None)
    if limits is None:
        return None
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # Widths of text are estimated, in inches a character: its font is that of the browser.
    texts = {effect.label: effect_label(effect) for effect in both}
    names = [printable(text, 28) for text in texts.values()]
    height = len(names) * _ROW * (1 if others is None else 1.3) + 0.75
    left = 0.16 + 0.085 * max(map(len, names))
    right = 0.15
    if others is None:
        right = max(1.2, 0.1 + 0.075 * max(len(verdict_text(effect)) for effect in effects))
    width = 5 + max(0.0, left - 1.75) + max(0.0, right - 1.2)
    # The label stands below the middle of the axis, and the axis is not in the middle.
    below = wrapped(_axis_label(outcome, subject), width - abs(left - right) - 0.1)
    bottom = 0.6 + _LINE * below.count("\n")
    height += bottom - 0.6
    with drawing(PAGE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes(
            (
                left / width,
                bottom / height,
                1 - (left + right) / width,
                1 - (bottom + 0.1) / height,
            )
        )
        plain_axes(axes)
        axes.grid(False, axis="y")
        axes.grid(True, axis="x")
        axes.axvline(0, color=PAGE.ink, linewidth=1)
        rows = {label: y for y, label in enumerate(texts)}
        if others is None:
            _draw_verdicts(axes, effects, rows, limits)
        else:
            _draw_two_studies(axes, effects, others, rows, limits)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0, labelcolor=PAGE.ink)
        axes.set(xlim=limits, ylim=(len(names) - 0.45, -0.55), xlabel=below)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        label = (
            label
            or f"Effects of {len(names)} {subject}s on {short_title(outcome)} with 95 % intervals"
        )
        return render(figure, name, label)


def _axis_label(outcome: str, subject: str) -> str:
    symbol = "points" if unit(outcome) == "%" else unit(outcome)
    minus = "with minus without" if subject == Design.subject else "minus that of the first"
    return f"{short_title(outcome)} {minus}" + (f", {symbol}" if symbol else "")


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """How an effect is drawn."""

    marker: str
    color: str
    hollow: bool = False
    dashed: bool = False


def _draw_verdicts(
    axes: Axes, effects: Sequence[Effect], rows: Mapping[str, int], limits: tuple[float, float]
) -> None:
    """Draw the effects of one study, each with its verdict beside it.

    Below an effect stands its interval for new images, or its differences by fold as dots.
    """
    for effect in effects:
        y, verdict = rows[effect.label], effect.verdict
        if effect.of_folds is not None:
            shown = [x for x in effect.of_folds.means if limits[0] <= x <= limits[1]]
            axes.plot(shown, [y + _BELOW] * len(shown), ".", color=PAGE.soft, markersize=4)
        marker, color = _MARKS[verdict]
        mark = _Mark(marker=marker, color=color, hollow=verdict == "undetermined")
        if effect.images is not None:
            ends = effect.images.low, effect.images.high
            _draw_interval(axes, ends, y + _BELOW, limits, color=PAGE.soft, width=0.9)
        _draw_effect(axes, effect, y, limits, mark)
        axes.annotate(
            verdict_text(effect),
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center_baseline",
            color=color,
            size=10,
        )


def _draw_two_studies(
    axes: Axes,
    first: Sequence[Effect],
    second: Sequence[Effect],
    rows: Mapping[str, int],
    limits: tuple[float, float],
) -> None:
    circle = _Mark(marker="o", color=PAGE.blue)
    square = _Mark(marker="s", color=PAGE.orange, dashed=True)
    for effects, mark, shift in ((first, circle, -0.17), (second, square, 0.17)):
        for effect in effects:
            _draw_effect(axes, effect, rows[effect.label] + shift, limits, mark)


def _draw_effect(
    axes: Axes, effect: Effect, y: float, limits: tuple[float, float], mark: _Mark
) -> None:
    """Draw an effect's point and its interval."""
    if effect.delta is None:
        return
    if effect.low is not None and effect.high is not None:
        ends = effect.low, effect.high
        _draw_interval(axes, ends, y, limits, color=mark.color, dashed=mark.dashed)
    axes.plot(
        [effect.delta],
        [y],
        marker=mark.marker,
        markersize=7,
        # Filled with the colour of the page, a hollow marker hides the interval's line.
        markerfacecolor=PAGE.paper if mark.hollow else mark.color,
        markeredgecolor=mark.color,
        markeredgewidth=1.4,
        linestyle="none",
        clip_on=False,
        zorder=5,
    )


def _draw_interval(
    axes: Axes,
    ends: tuple[float, float],
    y: float,
    limits: tuple[float, float],
    *,
    color: str,
    width: float = 1.6,
    dashed: bool = False,
) -> None:
    """Draw an interval, `width` points thick; an end outside `limits` becomes an arrow."""
    inside = [min(max(end, limits[0]), limits[1]) for end in ends]
    style = _DASHES if dashed else "solid"
    axes.plot(inside, [y, y], color=color, linewidth=width, linestyle=style)
    for end, drawn, arrow in zip(ends, inside, "<>", strict=True):
        axes.plot(
            [drawn],
            [y],
            marker="|" if drawn == end else arrow,
            markersize=3.75 * width,
            color=color,
            clip_on=False,
        )


def interaction_chart(
    factors: Sequence[str],
    effects: Sequence[Effect],
    *,
    outcome: str = "top1",
    name: str = "interactions",
) -> str | None:
    """Draw a factorial's main effects on the diagonal and its two-way interactions below it.

    Blue raises the outcome, orange lowers it; the shade shows the size. A star marks an effect that
    is not undetermined, a dash one that cannot be estimated. None if no effect is known.
    """
    table: Mapping[str, Effect] = {effect.label: effect for effect in effects}
    k = len(factors)
    cells = {
        (row, column): table.get(
            # The label of an interaction has its factors in the layout's order: the earlier first.
            factors[row] if row == column else f"{factors[column]}*{factors[row]}"
        )
        for row in range(k)
        for column in range(row + 1)
    }
    deltas = [effect.delta for effect in cells.values() if effect is not None]
    sizes = [abs(delta) for delta in deltas if delta is not None]
    if not sizes:
        return None
    from matplotlib.figure import Figure

    # The effects divide by it, and all of them may be exactly 0.
    largest = max(sizes) or 1.0
    names = [printable(factor, 20) for factor in factors]
    margin = 0.15 + 0.075 * max(map(len, names))
    cell = min(0.85, (5 - margin) / k)
    height = cell * k + margin
    with drawing(PAGE):
        figure = Figure(figsize=(5, height))
        axes = figure.add_axes((margin / 5, margin / height, cell * k / 5, cell * k / height))
        axes.spines[:].set_visible(False)
        text_size = min(10.5, 72 * cell / 5.2)
        for (row, column), effect in cells.items():
            _draw_cell(axes, row, column, effect, outcome, largest, text_size)
        axes.set_xticks(range(k), names, rotation=90)
        axes.set_yticks(range(k), names)
        axes.tick_params(length=0, pad=3, labelcolor=PAGE.ink)
        axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5))
        label = f"Main effects and interactions of {k} tricks, {number(outcome, largest)} at most"
        return render(figure, name, label)


def _draw_cell(
    axes: Axes,
    row: int,
    column: int,
    effect: Effect | None,
    outcome: str,
    largest: float,
    text_size: float,
) -> None:
    """Draw a cell of the heat map; `largest` is the size of effect that has the full colour."""
    from matplotlib.patches import Rectangle

    delta = effect.delta if effect is not None else None
    # The square root makes small effects visible beside the largest.
    shade = 0.0 if delta is None else math.ceil(10 * math.sqrt(abs(delta) / largest)) / 10
    corner = (column - 0.47, row - 0.47)
    if shade:
        color = PAGE.blue_fill if (delta or 0.0) > 0 else PAGE.orange_fill
        alpha = 0.1 + 0.9 * shade
        axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=color, alpha=alpha, linewidth=0))
    edge = PAGE.soft if row == column else PAGE.rule
    axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor="none", edgecolor=edge, linewidth=0.9))
    settled = effect is not None and effect.verdict in ("helps", "hurts")
    text = ABSENT if delta is None else signed(outcome, delta) + ("*" if settled else "")
    ink = PAGE.on_fill if shade > 0.7 else PAGE.ink
    axes.text(column, row, text, color=ink, size=text_size, ha="center", va="center_baseline")
