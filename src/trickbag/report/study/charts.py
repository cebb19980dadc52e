"""Charts of effects as inline SVG: forest plots with intervals, heat maps of interactions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trickbag.report.format import ABSENT, number, signed, title, unit
from trickbag.report.study.answer import effect_label, is_inapplicable, is_without_effect
from trickbag.report.svg import PAGE, drawing, plain_axes, printable, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from trickbag.report.study.records import Effect

__all__ = ["forest_chart", "forest_limits", "interaction_chart"]

_ROW = 0.31  # inches of a row of a forest plot
_MARKS = {"helps": ("^", PAGE.blue), "hurts": ("v", PAGE.orange), "undetermined": ("o", PAGE.soft)}


def forest_limits(effects: Sequence[Effect]) -> tuple[float, float] | None:
    """Return the axis that holds all effects with their intervals, and 0; None where no effect is
    known."""
    ends = [e[key] for e in effects for key in ("delta", "low", "high") if e.get(key) is not None]
    if not ends:
        return None
    # an interval of two pairs can be as wide as a hundred effects: it may leave the picture, its
    # effect may not
    deltas = [abs(e["delta"]) for e in effects if e.get("delta") is not None]
    widths = sorted(
        e["high"] - e["low"]
        for e in effects
        if e.get("low") is not None and e.get("high") is not None
    )
    reach = max([*deltas, 4 * widths[len(widths) // 2] if widths else 0.0])
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
) -> str | None:
    """Draw effects as points with their 95 % intervals, a row an effect; None where no effect is known.

    Shape, colour and a word tell the verdict. With `others`, the effects of a second study, rows
    hold both: the first study's above as a circle, the second's below as a dashed interval with a
    square, and the word is left out. `limits` gives several charts one axis; `label` says in words
    what is shown.
    """
    limits = limits or forest_limits([*effects, *(others or ())])
    if limits is None:
        return None
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = list(dict.fromkeys(str(effect["label"]) for effect in [*effects, *(others or ())]))
    height = len(rows) * _ROW * (1 if others is None else 1.3) + 0.75
    texts = {str(effect["label"]): effect_label(effect) for effect in [*effects, *(others or ())]}
    names = [printable(texts[row], 28) for row in rows]
    left = 0.16 + 0.085 * max(map(len, names))
    width = 5 + max(0.0, left - 1.75)
    right = 1.2 if others is None else 0.15
    with drawing(PAGE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes(
            (left / width, 0.6 / height, 1 - (left + right) / width, 1 - 0.7 / height)
        )
        plain_axes(axes)
        axes.grid(False, axis="y")
        axes.grid(True, axis="x")
        axes.axvline(0, color=PAGE.ink, linewidth=1)
        place = {row: i for i, row in enumerate(rows)}
        for effect in effects:
            y = place[str(effect["label"])] - (0.0 if others is None else 0.17)
            marker, color = _MARKS[str(effect["verdict"])] if others is None else ("o", PAGE.blue)
            hollow = others is None and effect["verdict"] == "undetermined"
            _interval(axes, effect, y, limits, marker=marker, color=color, hollow=hollow)
            if others is None:
                _verdict(axes, effect, y)
        for effect in others or ():
            y = place[str(effect["label"])] + 0.17
            _interval(axes, effect, y, limits, marker="s", color=PAGE.orange, dashed=True)
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0, labelcolor=PAGE.ink)
        axes.set(xlim=limits, ylim=(len(rows) - 0.45, -0.55), xlabel=_difference(outcome))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        label = label or f"Effects of {len(rows)} tricks on {title(outcome)} with 95 % intervals"
        return render(figure, name, label)


def _difference(outcome: str) -> str:
    unit_ = "points" if unit(outcome) == "%" else unit(outcome)
    return f"{title(outcome)} with minus without" + (f", {unit_}" if unit_ else "")


def _interval(
    axes: Axes,
    effect: Effect,
    y: float,
    limits: tuple[float, float],
    *,
    marker: str,
    color: str,
    hollow: bool = False,
    dashed: bool = False,
) -> None:
    delta, low, high = effect.get("delta"), effect.get("low"), effect.get("high")
    if delta is None:
        return
    if low is not None and high is not None:
        style: Any = (0, (3, 1.6)) if dashed else "solid"
        axes.plot(
            [max(low, limits[0]), min(high, limits[1])],
            [y, y],
            color=color,
            linewidth=1.6,
            linestyle=style,
        )
        for end, out, arrow in ((low, low < limits[0], "<"), (high, high > limits[1], ">")):
            x = min(max(end, limits[0]), limits[1])
            axes.plot(
                [x], [y], marker=arrow if out else "|", markersize=6, color=color, clip_on=False
            )
    # a hollow marker is painted with the page's own colour, so that its interval does not cross it
    axes.plot(
        [delta],
        [y],
        marker=marker,
        markersize=7,
        markerfacecolor=PAGE.paper if hollow else color,
        markeredgecolor=color,
        markeredgewidth=1.4,
        linestyle="none",
        clip_on=False,
        zorder=5,
    )


def _verdict(axes: Axes, effect: Effect, y: float) -> None:
    """Write the verdict beside a row."""
    word = str(effect["verdict"])
    if is_inapplicable(effect):
        word = "does not apply"
    elif is_without_effect(effect):
        word = "no effect"
    elif effect.get("delta") is None:
        word = "no pair yet"
    color = _MARKS[word][1] if word in ("helps", "hurts") else PAGE.soft
    axes.annotate(
        word, (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
        va="center_baseline", color=color, size=10,
    )  # fmt: skip


def interaction_chart(
    factors: Sequence[str],
    effects: Sequence[Effect],
    *,
    outcome: str = "top1",
    name: str = "interactions",
) -> str | None:
    """Draw main effects on the diagonal and two-way interactions below it, shaded by size; None where none is known.

    Blue raises the outcome, orange lowers it; a star marks what is not undetermined, a dash what
    cannot be estimated.
    """
    table: Mapping[str, Effect] = {str(effect["label"]): effect for effect in effects}
    k = len(factors)
    cells = {
        (row, column): table.get(
            factors[row] if row == column else f"{factors[column]}*{factors[row]}"
        )
        for row in range(k)
        for column in range(row + 1)
    }
    known = [
        effect["delta"]
        for effect in cells.values()
        if effect is not None and effect.get("delta") is not None
    ]
    if not known:
        return None
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    largest = max(map(abs, known)) or 1.0
    names = [printable(factor, 20) for factor in factors]
    margin = 0.15 + 0.075 * max(map(len, names))
    cell = min(0.85, (5 - margin) / k)
    height = cell * k + margin
    with drawing(PAGE):
        figure = Figure(figsize=(5, height))
        axes = figure.add_axes((margin / 5, margin / height, cell * k / 5, cell * k / height))
        axes.spines[:].set_visible(False)
        size = min(10.5, 72 * cell / 5.2)
        for (row, column), effect in cells.items():
            delta = effect.get("delta") if effect is not None else None
            share = 0.0 if delta is None else math.ceil(10 * math.sqrt(abs(delta) / largest)) / 10
            color = PAGE.blue_fill if (delta or 0.0) > 0 else PAGE.orange_fill
            corner = (column - 0.47, row - 0.47)
            if share:
                axes.add_patch(
                    Rectangle(
                        corner, 0.94, 0.94, facecolor=color, alpha=0.1 + 0.9 * share, linewidth=0
                    )
                )
            edge = PAGE.soft if row == column else PAGE.rule
            axes.add_patch(
                Rectangle(corner, 0.94, 0.94, facecolor="none", edgecolor=edge, linewidth=0.9)
            )
            shown = effect is not None and effect["verdict"] != "undetermined"
            text = ABSENT if delta is None else signed(outcome, delta) + ("*" if shown else "")
            ink = PAGE.on_fill if share > 0.7 else PAGE.ink
            axes.text(column, row, text, color=ink, size=size, ha="center", va="center_baseline")
        axes.set_xticks(range(k), names, rotation=90)
        axes.set_yticks(range(k), names)
        axes.tick_params(length=0, pad=3, labelcolor=PAGE.ink)
        axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5))
        label = f"Main effects and interactions of {k} tricks, {number(outcome, largest)} at most"
        return render(figure, name, label)
