"""Learning curves of a study's variants: a small chart each, with the range over the seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.metrics.metric import PREFIXES
from trickbag.report.format import short_title, unit
from trickbag.report.svg import PAGE, drawing, plain_axes, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from trickbag.report.study.records import ReportedStudy, StudyLayout, StudyVariant

__all__ = ["SHOWN", "Band", "CurvePanel", "CurvePanels", "band_chart", "curve_limits", "panels"]

SHOWN = 24
"""Number of variants of a network whose curves a page draws."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """A metric of a variant over the epochs: (epoch, mean, least, most) over its seeds."""

    label: str
    seeds: int
    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """The chart of a variant; `svg` is None if its trials left no curves."""

    label: str
    seeds: int
    svg: str | None


@dataclass(frozen=True, kw_only=True)
class CurvePanels:
    """The charts of a network's variants, of one metric; `cut` tells whether the axis is cut."""

    charts: list[CurvePanel]
    metric: str
    cut: bool = False


def panels(study: ReportedStudy, layout: StudyLayout, name: str) -> CurvePanels:
    """Draw the curves of a network's first variants.

    Behind each curve stands that of the first variant, or of the step before in a cumulative study.
    The metric is the outcome if it was measured at each epoch, else the same metric of the
    validation part, else the one that chooses the best epoch. Raises UserError if a trial's file is
    damaged.
    """
    variants = [variant for variant in layout.variants if not variant.reason][:SHOWN]
    bands: list[Band] = []
    for metric in _candidates(study):
        bands = [_band(study, variant, metric) for variant in variants]
        if any(band.points for band in bands):
            break
    else:
        return CurvePanels(charts=[], metric=study.outcome)
    limits, cut = curve_limits(bands)
    reference = None
    charts = []
    for i, band in enumerate(bands):
        svg = None
        if band.points:
            svg = band_chart(band, reference, metric=metric, limits=limits, name=f"{name}-{i}")
        charts.append(CurvePanel(label=band.label, seeds=band.seeds, svg=svg))
        if band.points and (i == 0 or study.design == "cumulative"):
            reference = band
    return CurvePanels(charts=charts, metric=metric, cut=cut)


def _candidates(study: ReportedStudy) -> list[str]:
    """Return the metrics that the curves can be of, the outcome first."""
    # A cost, the test part and an evaluation of its own are measured once a run.
    prefixes = [prefix for prefix in PREFIXES if study.outcome.startswith(prefix)]
    same = [study.outcome.removeprefix(prefix) for prefix in prefixes]
    return list(dict.fromkeys((study.outcome, *same, study.score, study.accuracy)))


def _band(study: ReportedStudy, variant: StudyVariant, metric: str) -> Band:
    """Collect the curves of the finished trials; of all of them if none has finished."""
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
    """Return one axis for all bands, and whether it cuts off a part of the first epochs.

    It fits the last three quarters of the epochs alone if these are then drawn clearly larger.
    """
    # The first epochs climb from chance: on their scale all variants look alike at the end.
    points = [point for band in bands for point in band.points]
    last = max(epoch for epoch, *_ in points)
    late = [point for point in points if point[0] > last / 4] or points
    low, high = min(p[2] for p in late), max(p[3] for p in late)
    least, most = min(p[2] for p in points), max(p[3] for p in points)
    cut = (high - low) < 0.7 * (most - least)
    if not cut:
        low, high = least, most
    margin = 0.06 * (high - low) or abs(high) * 0.02 or 0.5
    return (low - margin, high + margin), cut


def band_chart(
    band: Band,
    reference: Band | None = None,
    *,
    metric: str = "top1",
    limits: tuple[float, float] | None = None,
    name: str = "band",
) -> str:
    """Draw a variant's mean with the range over its seeds; the reference is grey and dashed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with drawing(PAGE):
        figure = Figure(figsize=(2.9, 2.0))
        axes = figure.add_axes((0.17, 0.2, 0.79, 0.75))
        plain_axes(axes)
        if reference is not None:
            _draw(axes, reference, PAGE.soft, 0.2, (0, (3, 1.6)))
        _draw(axes, band, PAGE.blue, 0.28, "solid")
        axes.tick_params(labelsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(x=0.02)
        axes.set_ylim(limits)
        axes.set_xlabel("epoch", size=9, labelpad=1)
        epoch, mean, *_ = band.points[-1]
        text = f"{short_title(metric)}{' in ' + unit(metric) if unit(metric) else ''}"
        label = (
            f"{text} of {band.label} over {epoch:g} epochs, "
            f"mean of {band.seeds} seeds: {mean:.4g} at the end"
        )
        return render(figure, name, label)


def _draw(axes: Axes, band: Band, color: str, opacity: float, style: Any) -> None:
    epochs, means, low, high = zip(*band.points, strict=True)
    if len(epochs) == 1:  # a line through one point is invisible
        spread = [[means[0] - low[0]], [high[0] - means[0]]]
        axes.errorbar(epochs, means, spread, color=color, marker="o", markersize=4)
        return
    if band.seeds > 1:
        axes.fill_between(epochs, low, high, color=color, alpha=opacity, linewidth=0)
    axes.plot(epochs, means, color=color, linewidth=1.5, linestyle=style)
