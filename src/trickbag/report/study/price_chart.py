"""The chart of accuracy against a price as inline SVG, with its Pareto front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.report.format import short_title, title, unit
from trickbag.report.svg import PAGE, drawing, plain_axes, printable, render, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["Point", "pareto_front", "price_chart"]

_SHAPES = ("o", "s", "D", "^", "v", "P")
"""Markers of the networks in a chart of more than one."""

_OFFSETS = (
    (8, 0, "left"),
    (-8, 0, "right"),
    (0, 11, "center"),
    (0, -11, "center"),
    (7, 9, "left"),
    (-7, 9, "right"),
    (7, -9, "left"),
    (-7, -9, "right"),
)
"""Places of a name beside its point, in the order of preference: x, y in points of print, and how
the text is aligned to them."""

_LONGEST_NAME = 22


@dataclass(frozen=True, kw_only=True)
class Point:
    """A variant in a chart of accuracy against a price.

    `network` is the place of its network among those of the study. A `named` point gets its name
    before others that are not on the front.
    """

    label: str
    price: float
    outcome: float
    network: int = 0
    named: bool = False


def pareto_front(points: Sequence[Point], *, more_is_better: bool) -> list[Point]:
    """Return the points that no other point beats, ordered by price.

    A point beats another if neither its price nor its outcome is worse and one of them is better.
    """
    sign = 1.0 if more_is_better else -1.0

    def beats(p: Point, q: Point) -> bool:
        a, b = (sign * p.price, p.outcome), (sign * q.price, q.outcome)
        return a[0] >= b[0] and a[1] >= b[1] and a != b

    # Of equal points none beats the other: both stay.
    return sorted(
        (p for p in points if not any(beats(q, p) for q in points)), key=lambda p: p.price
    )


def price_chart(
    points: Sequence[Point],
    *,
    metric: str,
    outcome: str = "top1",
    networks: Sequence[str] = (),
    more_is_better: bool = False,
    name: str = "price",
) -> str | None:
    """Draw the accuracy of variants against a price; the Pareto front is filled and joined.

    A name stands where there is room for it; the points of the front come first. None without a
    point.
    """
    if not points:
        return None
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    front = pareto_front(points, more_is_better=more_is_better)
    many_networks = len({point.network for point in points}) > 1
    width, height, top = 5.0, 3.5, 0.38 if many_networks else 0.12
    measure = unit(outcome)
    beside = wrapped(short_title(outcome) + (f" in {measure}" if measure else ""), height - 0.7)
    left = 0.62 + 0.17 * beside.count("\n")
    with drawing(PAGE):
        figure = Figure(figsize=(width, height))
        box = (left / width, 0.58 / height, 1 - (left + 0.15) / width, 1 - (0.58 + top) / height)
        axes = figure.add_axes(box)
        plain_axes(axes)
        axes.set_xlim(*_padded([point.price for point in points], 0.17))
        axes.set_ylim(*_padded([point.outcome for point in points], 0.12))
        _draw_points(axes, points, front, networks if many_networks else None)
        if many_networks:
            figure.legend(
                loc="upper left", ncols=3, handletextpad=0.2, columnspacing=1.2, borderaxespad=0.2
            )
        _draw_names(axes, points, front, (box[2] * width * 72, box[3] * height * 72))
        suffix = _scale_prices(axes, points, metric)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        better = "more" if more_is_better else "less"
        axes.set_xlabel(f"{title(metric)}{suffix}, {better} is better")
        axes.set_ylabel(beside)
        label = (
            f"{short_title(outcome)} against {title(metric)} of {len(points)} variants, "
            f"{len(front)} on the Pareto front"
        )
        return render(figure, name, label)


def _draw_points(
    axes: Axes, points: Sequence[Point], front: Sequence[Point], networks: Sequence[str] | None
) -> None:
    """Draw the points and the line of the front; with `networks`, an entry of the legend each."""
    prices, outcomes = [p.price for p in front], [p.outcome for p in front]
    axes.plot(prices, outcomes, color=PAGE.blue, linewidth=1.1, alpha=0.7)
    for i in sorted({point.network for point in points}):
        shape = _SHAPES[i % len(_SHAPES)]
        for on_front, face in ((False, PAGE.paper), (True, PAGE.blue)):
            rows = [p for p in points if p.network == i and (p in front) == on_front]
            axes.plot(
                [p.price for p in rows],
                [p.outcome for p in rows],
                linestyle="none",
                marker=shape,
                markersize=6.5,
                markerfacecolor=face,
                markeredgecolor=PAGE.blue if on_front else PAGE.soft,
                markeredgewidth=1.3,
                zorder=4 + on_front,
            )
        if networks is not None:
            text = printable(networks[i], 26) if i < len(networks) else str(i)
            axes.plot([], [], marker=shape, linestyle="none", color=PAGE.soft, label=text)


def _draw_names(
    axes: Axes, points: Sequence[Point], front: Sequence[Point], size: tuple[float, float]
) -> None:
    ranked = sorted(points, key=lambda p: (p not in front, not p.named))
    for point, x, y, align in _placed(ranked, points, axes.get_xlim(), axes.get_ylim(), size):
        axes.annotate(
            printable(point.label, _LONGEST_NAME),
            (point.price, point.outcome),
            xytext=(x, y),
            textcoords="offset points",
            ha=align,
            va="center_baseline",
            size=9,
            color=PAGE.ink if point in front else PAGE.soft,
        )


def _scale_prices(axes: Axes, points: Sequence[Point], metric: str) -> str:
    """Set the ticks of the prices, large ones in thousands or millions; return their unit."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    scale, suffix = 1.0, f" in {unit(metric)}"
    if unit(metric) == "bytes":
        scale, suffix = 1e6, " in MB"
    elif not unit(metric):
        scale, suffix = _thousands(max(point.price for point in points))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    if scale != 1.0:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / scale:g}"))
    return suffix


def _thousands(largest: float) -> tuple[float, str]:
    for size, letter in ((1e9, " in G"), (1e6, " in M"), (1e3, " in k")):
        if largest >= size:
            return size, letter
    return 1.0, ""


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * share or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _placed(
    ranked: Sequence[Point],
    points: Sequence[Point],
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    size: tuple[float, float],
) -> list[tuple[Point, float, float, str]]:
    """Place the names of points: (point, offset in points of print, alignment).

    A name that would cover a point or another name is left out. `size` is that of the axes, in
    points of print.
    """

    def spot(point: Point) -> tuple[float, float]:
        return (
            (point.price - xlim[0]) / (xlim[1] - xlim[0]) * size[0],
            (point.outcome - ylim[0]) / (ylim[1] - ylim[0]) * size[1],
        )

    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in map(spot, points)]
    places = []
    for point in ranked:
        x, y = spot(point)
        # Estimated: the font is that of the browser.
        width = 5.5 * min(_LONGEST_NAME, len(point.label)) + 2
        for dx, dy, align in _OFFSETS:
            left = x + dx - {"left": 0.0, "right": width, "center": width / 2}[align]
            box = (left, y + dy - 5.5, left + width, y + dy + 5.5)
            inside = (
                box[0] >= -4 and box[2] <= size[0] + 8 and box[1] >= 0 and box[3] <= size[1] + 4
            )
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                places.append((point, float(dx), float(dy), align))
                break
    return places


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
