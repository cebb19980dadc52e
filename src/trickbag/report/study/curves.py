"""Learning curves of a study's variants: a small chart each, with the range over seeds, against the
reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.report.format import title, unit
from trickbag.report.svg import PAGE, drawing, plain_axes, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from trickbag.report.study.records import ReportedStudy, StudyLayout, StudyVariant

__all__ = ["Band", "CurvePanel", "band_chart", "curve_limits", "panels"]

SHOWN = 24
"""Variants of a network whose curves a page draws."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """A metric over the epochs of a variant's trials: (epoch, mean, least, most) over the seeds
    that have it."""

    label: str
    seeds: int
    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """A variant's chart; `svg` is None where its trials left no curves."""

    label: str
    seeds: int
    svg: str | None


def panels(study: ReportedStudy, layout: StudyLayout, name: str) -> tuple[list[CurvePanel], bool]:
    """Draw the curves of a network's variants; the flag tells whether the axis leaves out a part.

    Behind each stands the first, or the step before in a cumulative study. The metric is the
    outcome where it was measured at each epoch, else top-1. Of a study with more variants than can
    be looked at, the first are drawn. Raises UserError where a trial's file is damaged.
    """
    variants = [variant for variant in layout.variants if not variant.reason][:SHOWN]
    bands, metric = [], study.outcome
    for metric in dict.fromkeys((study.outcome, "top1")):
        bands = [_band(study, variant, metric) for variant in variants]
        if any(band.points for band in bands):
            break
    if not any(band.points for band in bands):
        return [], False
    limits, cut = curve_limits(bands)
    behind = None
    found = []
    for i, band in enumerate(bands):
        svg = (
            band_chart(band, behind, metric=metric, limits=limits, name=f"{name}-{i}")
            if band.points
            else None
        )
        found.append(CurvePanel(label=band.label, seeds=band.seeds, svg=svg))
        if band.points and (i == 0 or study.design == "cumulative"):
            behind = band
    return found, cut


def _band(study: ReportedStudy, variant: StudyVariant, metric: str) -> Band:
    trials = list(variant.trials.values())
    finished = [trial for trial in trials if trial.finished]
    curves = []
    for trial in finished or trials:
        curve = {float(epoch["epoch"] or 0): epoch.get(metric) for epoch in study.epochs(trial)}
        if any(value is not None for value in curve.values()):
            curves.append(curve)
    points = []
    for epoch in sorted({epoch for curve in curves for epoch in curve}):
        values = [value for curve in curves if (value := curve.get(epoch)) is not None]
        if values:
            points.append((epoch, sum(values) / len(values), min(values), max(values)))
    return Band(label=variant.label, seeds=len(curves), points=tuple(points))


def curve_limits(bands: Sequence[Band]) -> tuple[tuple[float, float], bool]:
    """Return an axis for all bands, which leaves the first quarter of the epochs out where that spreads out the rest.

    The flag tells whether it does.
    """
    every = [point for band in bands for point in band.points]
    last = max(epoch for epoch, *_ in every)
    late = [point for point in every if point[0] > last / 4] or every
    low, high = min(p[2] for p in late), max(p[3] for p in late)
    least, most = min(p[2] for p in every), max(p[3] for p in every)
    cut = (high - low) < 0.7 * (most - least)
    if not cut:
        low, high = least, most
    margin = 0.06 * (high - low) or abs(high) * 0.02 or 0.5
    return (low - margin, high + margin), cut


def band_chart(
    band: Band,
    behind: Band | None = None,
    *,
    metric: str = "top1",
    limits: tuple[float, float] | None = None,
    name: str = "band",
) -> str:
    """Draw a variant's mean with the range over its seeds; `behind` is the reference, grey and
    dashed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with drawing(PAGE):
        figure = Figure(figsize=(2.9, 2.0))
        axes = figure.add_axes((0.17, 0.2, 0.79, 0.75))
        plain_axes(axes)
        if behind is not None:
            _draw(axes, behind, PAGE.soft, 0.2, (0, (3, 1.6)))
        _draw(axes, band, PAGE.blue, 0.28, "solid")
        axes.tick_params(labelsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(x=0.02)
        axes.set_ylim(limits)
        axes.set_xlabel("epoch", size=9, labelpad=1)
        last = band.points[-1]
        said = f"{title(metric)}{' in ' + unit(metric) if unit(metric) else ''}"
        label = (
            f"{said} of {band.label} over {last[0]:g} epochs, mean of {band.seeds} seeds: "
            f"{last[1]:.4g} at the end"
        )
        return render(figure, name, label)


def _draw(axes: Axes, band: Band, color: str, opacity: float, style: Any) -> None:
    epochs, means, low, high = zip(*band.points, strict=True)
    if len(epochs) == 1:
        axes.errorbar(
            epochs,
            means,
            [[means[0] - low[0]], [high[0] - means[0]]],
            color=color,
            marker="o",
            markersize=4,
        )
        return
    if band.seeds > 1:
        axes.fill_between(epochs, low, high, color=color, alpha=opacity, linewidth=0)
    axes.plot(epochs, means, color=color, linewidth=1.5, linestyle=style)
