"""The page of a run of another task than classification, as plain data for its template."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trickbag.report.charts import Series, line_chart
from trickbag.report.format import ABSENT, interval_text, percent, title
from trickbag.report.pictures import Pictures, data_uri
from trickbag.report.run import sections
from trickbag.report.run.tasks.task_report import task_report

if TYPE_CHECKING:
    from trickbag.report.run.records import ReportedRun
    from trickbag.report.run.tasks.task_report import TaskReport

__all__ = ["TEMPLATE", "task_context", "task_headline"]

TEMPLATE = "task_run.html"

_LARGEST, _LARGEST_WIDE = 720, 1000
"""Pixels of the longer side of a picture with its truth, at most; of one that has a row alone."""

_WIDE = 2.2
"""The ratio of width to height from which on a picture has a row of the page alone."""

_NO_PICTURES = "This page was made without the images of the data, or no image has a prediction."


def task_context(record: ReportedRun, pictures: Pictures | None) -> dict[str, Any]:
    """Return what the template needs of the task: headline, facts, curves, classes, pictures."""
    report = task_report(record.task)
    images = report.images(record.folder)
    facts = sections.facts(record, None, images)
    network = [("network", report.network(record))]
    return {
        "headline": task_headline(record, report, images),
        "facts": network + [fact for fact in facts if fact[0] != "network"],
        "curves": [_curve(record, *curve) for curve in report.curves],
        "schedule": sections.schedule(record),
        "classes": _classes(record, report),
        **_compared(report, pictures or Pictures()),
    }


def task_headline(
    record: ReportedRun, report: TaskReport, images: int | None = None
) -> dict[str, Any]:
    """Describe how the run ended, and the score of the weights that it keeps."""
    name = report.score
    value, best = record.metrics.get(name), record.best_of(name)
    interval = interval_text(name, record.intervals.get(name))
    return {
        "state": sections.state_of(record),
        "trial": record.trial,
        "defined": value is not None,
        "title": title(name),
        "score": ABSENT if value is None else f"{value:.2f}",
        "interval": f"{interval}\u00a0%" if interval else None,
        "images": images,
        "weights": sections.weights_of(record),
        "chosen": sections.chosen(record, name),
        "best": f"{best[0]:.2f}\u00a0% at epoch {best[1]}" if best else None,
        "tiles": sections.tiles(record, report.tiles),
    }


def _curve(record: ReportedRun, caption: str, name: str, axis: str) -> tuple[str, str | None]:
    """Draw a metric over the epochs; that of training dashed, as on other pages."""
    is_of_training = name.startswith("train_")
    series = Series(
        label="training" if is_of_training else "validation",
        points=record.curve(name),
        color="orange" if is_of_training else "blue",
        dashed=is_of_training,
    )
    label = f"{caption} over {record.epochs_done} epochs"
    return caption, line_chart([series], name=name, label=label, y=axis)


def _classes(record: ReportedRun, report: TaskReport) -> dict[str, Any]:
    def lowest_first(row: Any) -> tuple[float, str]:
        return math.inf if row.score is None else row.score, row.name

    rows = sorted(report.rows(record), key=lowest_first)
    return {
        "note": report.class_note,
        "columns": report.columns,
        "bar": report.bar,
        "rows": [(row.name, row.score, row.cells) for row in rows[: sections.SHOWN_CLASSES]],
        "unlisted": max(0, len(rows) - sections.SHOWN_CLASSES),
    }


def _compared(report: TaskReport, pictures: Pictures) -> dict[str, Any]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures.compared:
        wide = picture.image.shape[1] > _WIDE * picture.image.shape[0]
        groups.setdefault(picture.group, []).append(
            {
                "uri": data_uri(picture.image, _LARGEST_WIDE if wide else _LARGEST),
                "wide": wide,
                "alt": f"{picture.name}: truth and prediction",
                "name": picture.name,
                "score": f"{report.image_score} {percent(picture.score, 1)}",
            }
        )
    return {
        "comparison_note": report.comparison_note,
        "compared": list(groups.items()),
        "absent_batch": pictures.absent or sections.NO_PICTURES,
        "annotations": report.annotations,
        "augmented": [data_uri(picture.image, _LARGEST) for picture in pictures.augmented],
        "absent": pictures.absent or _NO_PICTURES,
    }
