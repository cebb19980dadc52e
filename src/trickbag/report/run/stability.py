"""The sections of a run's page on perturbation sequences and on shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.evaluate.record import evaluation_file
from trickbag.evaluate.robustness.perturbations.details import (
    PATHS,
    PerturbationDetails,
    ShiftDetails,
)
from trickbag.evaluate.robustness.perturbations.strips import read_strip
from trickbag.metrics.flips import ALEXNET_FLIPS, EXTRA_PERTURBATIONS, TEST_PERTURBATIONS
from trickbag.report.format import ABSENT, interval_text, number, percent, title, unit, value_text
from trickbag.report.pictures import data_uri
from trickbag.report.run.evaluated import evaluated
from trickbag.report.svg import PAGE, drawing, plain_axes, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.report.run.records import ReportedRun

__all__ = ["consistency_chart", "flip_chart", "perturbations_section", "shifts_section"]

_BINS = 12
"""Points of the chart of consistency by distance, at most."""


def perturbations_section(
    record: EvaluationRecord | None, run: ReportedRun
) -> dict[str, Any] | None:
    """Describe an evaluation along perturbation sequences; None if the run has none.

    Raises UserError if its record is damaged.
    """
    if record is None:
        return None
    details = _details(PerturbationDetails, record, run)
    present = details.flip_probabilities
    return {
        "tiles": _tiles(record),
        "about": evaluated(record, run),
        "origin": ", ".join(
            [
                f"frames of {_pixels(record.settings)}, made as the network needs them",
                f"parameters of {value_text(record.settings.get('table'))}",
                f"seed {value_text(record.settings.get('seed'))}",
            ]
        ),
        "chart": flip_chart(details),
        "groups": [
            (group, [_row(name, details) for name in names if name in present])
            for group, names in (
                ("the 10 sequences of mFR", TEST_PERTURBATIONS),
                ("other sequences", EXTRA_PERTURBATIONS),
            )
            if any(name in present for name in names)
        ],
        "normalised": any(rate is not None for rate in details.flip_rates.values()),
        "ranked": any(distance is not None for distance in details.top5_distances.values()),
        "pictures": _strips(run.folder, details),
        "picture": details.picture,
    }


def shifts_section(record: EvaluationRecord | None, run: ReportedRun) -> dict[str, Any] | None:
    """Describe an evaluation on shifted images; None if the run has none.

    Raises UserError if its record is damaged.
    """
    if record is None:
        return None
    details = _details(ShiftDetails, record, run)
    settings = record.settings
    circular = settings.get("mode") == "circular"
    return {
        "tiles": _tiles(record),
        "about": evaluated(record, run),
        "origin": ", ".join(
            [
                f"{value_text(settings.get('pairs'))} pairs of views of each image",
                f"of {_pixels(settings)}",
                "shifted in a circle" if circular else "crops of the scaled image",
                f"seed {value_text(settings.get('seed'))}",
            ]
        ),
        "chart": consistency_chart(details),
    }


def _details(kind: Any, record: EvaluationRecord, run: ReportedRun) -> Any:
    try:
        return kind.from_dict(record.details)
    except UserError as error:
        file = evaluation_file(run.folder, record.kind)
        raise UserError(f"cannot read {file}: details: {error.reason}") from error


def _tiles(record: EvaluationRecord) -> list[tuple[str, str, str, str]]:
    """Return title, number, unit and interval over images of each metric that is defined."""
    return [
        (
            title(name),
            number(name, value),
            unit(name),
            interval_text(name, record.intervals.get(name)),
        )
        for name, value in record.metrics.items()
        if value is not None
    ]


def _pixels(settings: Mapping[str, Any]) -> str:
    size = settings.get("image_size")
    return f"{'x'.join(map(str, reversed(size)))} px" if isinstance(size, list) else "unknown size"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("gaussian", "Gaussian")


def _row(name: str, details: PerturbationDetails) -> dict[str, str]:
    distance = details.top5_distances[name]
    return {
        "name": _words(name),
        "probability": percent(details.flip_probabilities[name]),
        "rate": percent(details.flip_rates[name], 1),
        "distance": ABSENT if distance is None else f"{distance:.2f}",
    }


def _strips(folder: Path, details: PerturbationDetails) -> list[tuple[str, list[dict[str, str]]]]:
    """Encode the frames of each sequence; those that are not there are left out."""
    if not details.picture:
        return []
    rows = []
    for name in details.flip_probabilities:
        pictures = read_strip(folder, name)
        entries = [
            {"uri": data_uri(picture), "alt": f"{_words(name)}, frame {place}: {details.picture}"}
            for place, picture in enumerate(pictures, 1)
        ]
        if entries:
            rows.append((_words(name), entries))
    return rows


def flip_chart(details: PerturbationDetails) -> str | None:
    """Draw the flip probability of each perturbation as a bar, with AlexNet's beside it.

    AlexNet's are left out where they do not apply. None if there is no perturbation.
    """
    values = details.flip_probabilities
    if not values:
        return None
    from matplotlib.figure import Figure

    names = list(values)
    places = range(len(names))
    applies = any(rate is not None for rate in details.flip_rates.values())
    height = 0.28 * len(names) + 0.75
    with drawing(PAGE):
        figure = Figure(figsize=(6.4, height))
        figure.subplots_adjust(left=0.24, right=0.97, top=1 - 0.1 / height, bottom=0.6 / height)
        axes = figure.subplots()
        plain_axes(axes)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.barh(places, [values[name] for name in names], height=0.62, color=PAGE.blue)
        if applies:
            alexnet = [ALEXNET_FLIPS[name] for name in names]
            axes.plot(alexnet, places, linestyle="none", marker="|", markersize=11, color=PAGE.ink)
        axes.set_yticks(places, [_words(name) for name in names])
        axes.set(xlabel="flip probability in %", xlim=(0, None))
        axes.invert_yaxis()
        worst = max(names, key=lambda name: values[name])
        label = (
            f"Flip probabilities of {len(names)} perturbations, the largest that of "
            f"{_words(worst)}: {percent(values[worst])}"
        )
        return render(figure, "flip-probabilities", label)


def consistency_chart(details: ShiftDetails) -> str | None:
    """Draw the share of pairs that agree by the distance of their views; None without pairs."""
    lines = {path: _by_distance(details, path) for path in PATHS}
    drawn = {path: points for path, points in lines.items() if points}
    if not drawn:
        return None
    from matplotlib.figure import Figure

    with drawing(PAGE):
        figure = Figure(figsize=(5.2, 2.9), layout="constrained")
        axes = figure.subplots()
        plain_axes(axes)
        for (path, points), color in zip(drawn.items(), (PAGE.blue, PAGE.orange), strict=False):
            axes.plot(*zip(*points, strict=True), color=color, marker=".", label=path)
        axes.set(xlabel="distance of both views in pixels", ylabel="same prediction in %")
        axes.set(xlim=(0, None), ylim=(None, 100.5))
        axes.legend()
        first = next(iter(drawn.values()))
        label = (
            f"Share of pairs of views with the same prediction by their distance: "
            f"{percent(first[0][1])} at {first[0][0]:.0f} and {percent(first[-1][1])} at "
            f"{first[-1][0]:.0f} pixels"
        )
        return render(figure, "shift-consistency", label)


def _by_distance(details: ShiftDetails, path: str) -> list[tuple[float, float]]:
    """Return mean distances and shares of pairs that agree, in at most _BINS bins."""
    pairs, agreeing = details.pairs[path], details.agreeing[path]
    width = max(1, -(-(len(pairs) - 1) // _BINS))
    points = []
    for start in range(1, len(pairs), width):
        distances = range(start, min(start + width, len(pairs)))
        total = sum(pairs[d] for d in distances)
        if total:
            mean = sum(d * pairs[d] for d in distances) / total
            points.append((mean, 100 * sum(agreeing[d] for d in distances) / total))
    return points
