"""The section of a run's page on corrupted images: errors, a chart of them, and pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.evaluate.record import evaluation_file
from trickbag.evaluate.robustness.details import RobustnessDetails
from trickbag.evaluate.robustness.pictures import read_pictures
from trickbag.metrics.corruption import (
    EXTRA_CORRUPTIONS,
    MAIN_CORRUPTIONS,
    SEVERITIES,
    corruption_error,
)
from trickbag.report.format import ABSENT, interval_text, number, percent, title, unit, value_text
from trickbag.report.pictures import data_uri
from trickbag.report.run.evaluated import evaluated
from trickbag.report.svg import PAGE, drawing, plain_axes, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.report.run.records import ReportedRun

__all__ = ["error_chart", "robustness_section"]

_COLUMNS = 5
_TILES = ("mce", "mean_corruption_error", "relative_mce", "clean_error", "mce_19")


def robustness_section(record: EvaluationRecord | None, run: ReportedRun) -> dict[str, Any] | None:
    """Describe an evaluation on corrupted images; None if the run has none.

    Raises UserError if its record is damaged.
    """
    if record is None:
        return None
    try:
        details = RobustnessDetails.from_dict(record.details)
    except UserError as error:
        file = evaluation_file(run.folder, "robustness")
        raise UserError(f"cannot read {file}: details: {error.reason}") from error
    rows = details.corruptions
    return {
        "tiles": [
            (
                title(name),
                number(name, value),
                unit(name),
                interval_text(name, record.intervals.get(name)),
            )
            for name in _TILES
            if (value := record.metrics.get(name)) is not None
        ],
        "about": evaluated(record, run),
        "origin": _origin(record.settings),
        "chart": error_chart(rows, details.clean_error),
        "groups": [
            (name, [_row(each, details) for each in names if each in rows])
            for name, names in (
                ("the 15 corruptions of mCE", MAIN_CORRUPTIONS),
                ("other corruptions", EXTRA_CORRUPTIONS),
            )
            if any(each in rows for each in names)
        ],
        "normalised": any(value is not None for value in details.ce.values()),
        "pictures": _pictures(run.folder, details),
        "picture": details.picture,
    }


def _origin(settings: Mapping[str, Any]) -> str:
    """Say how the images were corrupted, as far as the record knows."""
    size = settings.get("image_size")
    pixels = "" if not isinstance(size, list) else f", {'x'.join(map(str, reversed(size)))} px"
    if settings.get("source_dir") is not None:
        return f"Corrupted images of {settings['source_dir']}{pixels}"
    limit = settings.get("limit")
    parts = [
        f"parameters of {value_text(settings.get('table'))}",
        f"frost {value_text(settings.get('frost'))}",
        f"seed {value_text(settings.get('seed'))}",
        *([f"at most {limit:,} images"] if isinstance(limit, int) else []),
    ]
    return f"Crops corrupted{pixels}: {', '.join(parts)}"


def _row(name: str, details: RobustnessDetails) -> dict[str, Any]:
    errors = details.corruptions[name]
    return {
        "name": _words(name),
        "errors": [ABSENT if error is None else f"{error:.1f}" for error in errors],
        "mean": percent(corruption_error(errors), 1),
        "ce": percent(details.ce.get(name), 1),
    }


def _words(name: str) -> str:
    return name.replace("_", " ").replace("jpeg", "JPEG")


def _pictures(folder: Path, details: RobustnessDetails) -> list[tuple[str, list[dict[str, str]]]]:
    """Encode the pictures of each corruption by severity; those that are not there are left out."""
    if not details.picture:
        return []
    rows = []
    for name, errors in details.corruptions.items():
        severities = [s for s, error in zip(SEVERITIES, errors, strict=True) if error is not None]
        pictures = read_pictures(folder, name, len(severities))
        if pictures:
            entries = [
                {
                    "uri": data_uri(picture),
                    "alt": f"{_words(name)}, severity {severity}: {details.picture}",
                    "severity": str(severity),
                }
                for severity, picture in zip(severities, pictures, strict=True)
            ]
            rows.append((_words(name), entries))
    return rows


def error_chart(
    errors: Mapping[str, Sequence[float | None]], clean_error: float | None
) -> str | None:
    """Draw the error of each corruption by severity, with that on clean images at severity 0.

    A dashed line in each panel is the mean of all panels. None if there is no error to draw.
    """
    drawn = {name: row for name, row in errors.items() if any(e is not None for e in row)}
    if not drawn:
        return None
    from matplotlib.figure import Figure

    means = [_mean([row[i] for row in drawn.values()]) for i in range(len(SEVERITIES))]
    columns = min(_COLUMNS, len(drawn))
    lines = math.ceil(len(drawn) / columns)
    width, height = 1.75 * columns + 0.9, 1.4 * lines + 0.6
    with drawing(PAGE):
        # Placed by hand: to fit 19 panels to their texts takes matplotlib seconds.
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(
            left=0.75 / width,
            right=1 - 0.1 / width,
            bottom=0.55 / height,
            top=1 - 0.3 / height,
            wspace=0.15,
            hspace=0.4,
        )
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        panels = list(grid.flat)
        for axes, (name, row) in zip(panels, drawn.items(), strict=False):
            plain_axes(axes)
            for values, color, style in ((means, PAGE.soft, (0, (3, 2))), (row, PAGE.blue, "-")):
                x, y = _points(values, clean_error)
                # Beside a gap there may be a point without a line.
                marker = "." if any(map(math.isnan, y)) else None
                axes.plot(x, y, color=color, linestyle=style, marker=marker)
            axes.set_title(_words(name), size=10)
        for axes in panels[len(drawn) :]:
            axes.set_visible(False)
        for axes in panels[max(0, len(drawn) - columns) : len(drawn)]:
            axes.tick_params(labelbottom=True)
        panels[0].set(ylim=(0, 102), xlim=(-0.3, 5.3), xticks=range(6), yticks=range(0, 101, 25))
        texts = {"size": 10, "color": PAGE.soft}
        figure.supxlabel("severity; 0: not corrupted", y=0.08 / height, va="bottom", **texts)
        figure.supylabel("error in %", x=0.1 / width, ha="left", **texts)
        label = (
            f"Top-1 error of {len(drawn)} corruptions over severities 1 to 5: on average "
            f"{percent(means[0], 1)} at severity 1 and {percent(means[-1], 1)} at severity 5"
        )
        return render(figure, "robustness-errors", label)


def _points(
    values: Sequence[float | None], clean_error: float | None
) -> tuple[list[int], list[float]]:
    heights = [clean_error, *values]
    # NaN interrupts the line.
    return list(range(6)), [math.nan if value is None else value for value in heights]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
