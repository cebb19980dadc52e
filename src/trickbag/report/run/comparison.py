"""The page that compares two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError
from trickbag.metrics.bootstrap import mean_intervals
from trickbag.report.charts import Series, line_chart
from trickbag.report.format import ABSENT, number, signed, span, title, unit
from trickbag.report.pages import write_page
from trickbag.report.recipe_text import changed_settings, changed_values
from trickbag.report.run.records import ReportedRun, planned_schedule, read_record
from trickbag.report.run.sections import headline
from trickbag.report.run.tasks.page import task_headline
from trickbag.report.run.tasks.task_report import require_same_task, task_report
from trickbag.train.folder.predictions import PredictionRow, read_predictions

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["compare_page", "differences", "disagreement", "paired_scores", "right_gap"]


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One of the two runs: `letter` is A or B; `predictions` are None if it has none."""

    letter: str
    record: ReportedRun
    predictions: list[PredictionRow] | None


def compare_page(folder_a: Path, folder_b: Path, out: Path | None = None) -> Path:
    """Write a page that compares two runs, by default `report.html` in the first run's folder.

    It has their curves in one chart, and their metrics and the settings that differ side by side.
    Returns the page's path. Raises UserError if a folder is no run, one of its files is damaged,
    both folders are the same, or the runs are of different tasks.
    """
    if folder_a.resolve() == folder_b.resolve():
        raise UserError(f"{folder_a} and {folder_b} are the same run: give two different ones")
    sides = [
        _Side(
            letter=letter,
            record=read_record(folder),
            predictions=read_predictions(folder / "predictions.csv"),
        )
        for letter, folder in (("A", folder_a), ("B", folder_b))
    ]
    require_same_task(sides[0].record, sides[1].record)
    return write_page("compare.html", _context(*sides), out or folder_a / "report.html")


def _context(a: _Side, b: _Side) -> dict[str, Any]:
    both = (a, b)
    metrics = []
    for name in dict.fromkeys([*a.record.metrics, *b.record.metrics]):
        first, second = (side.record.metrics.get(name) for side in both)
        gap = ABSENT
        if first is not None and second is not None:
            gap = number(name, second - first, signed=True)
        metrics.append((title(name), unit(name), number(name, first), number(name, second), gap))
    return {
        "title": "Two runs compared",
        "runs": [
            {
                "letter": side.letter,
                "record": side.record,
                "headline": _headline(side),
            }
            for side in both
        ],
        "metrics": metrics,
        "curves": _curves(both),
        "differences": differences(a.record, b.record),
        "disagreement": disagreement(a.predictions, b.predictions)
        if a.predictions and b.predictions
        else None,
        "right_gap": right_gap(a.predictions, b.predictions)
        if a.predictions and b.predictions
        else None,
        "of_task": a.record.task != "classification",
        **_of_task(a.record, b.record),
    }


def _headline(side: _Side) -> dict[str, Any]:
    record = side.record
    if record.task == "classification":
        return headline(record, side.predictions)
    report = task_report(record.task)
    return task_headline(record, report, report.images(record.folder))


def _of_task(first: ReportedRun, second: ReportedRun) -> dict[str, Any]:
    """Compare the validation images of two runs of another task than classification, in pairs.

    `image_scores` are rows of the table, or None; `not_paired` then says why, and is empty for
    classification, whose images are right or wrong.
    """
    if first.task == "classification":
        return {"image_scores": None, "not_paired": "", "image_note": ""}
    report = task_report(first.task)
    try:
        scores_a, scores_b = (report.image_scores(record) for record in (first, second))
    except UserError as error:
        return {"image_scores": None, "not_paired": error.reason, "image_note": ""}
    rows = [paired_scores(name, by_image, scores_b[name]) for name, by_image in scores_a.items()]
    if first.fingerprint != second.fingerprint or None in rows:
        reason = "the runs were validated on other images"
        return {"image_scores": None, "not_paired": reason, "image_note": ""}
    return {"image_scores": rows, "not_paired": "", "image_note": report.image_note}


def paired_scores(
    name: str, first: Mapping[str, float], second: Mapping[str, float]
) -> dict[str, Any] | None:
    """Describe by how much a score of the same images is higher in a second run than in a first.

    The interval of the mean difference is over images; see `mean_intervals`. None if the images are
    not the same, or there are none.
    """
    if first.keys() != second.keys() or not first:
        return None
    a_N, b_N = (np.array([scores[image] for image in first]) for scores in (first, second))
    interval = mean_intervals({name: b_N - a_N}).get(name)
    return {
        "name": name,
        "images": len(a_N),
        "a": f"{a_N.mean():.2f}",
        "b": f"{b_N.mean():.2f}",
        # As `signed` writes a metric in percent, whatever the score is called.
        "gap": signed("top1", float((b_N - a_N).mean())),
        "interval": ABSENT if interval is None else span("top1", *interval),
        "a_higher": int((a_N > b_N).sum()),
        "b_higher": int((b_N > a_N).sum()),
        "equal": int((a_N == b_N).sum()),
    }


def differences(first: ReportedRun, second: ReportedRun) -> list[tuple[str, str, str]]:
    """List in what two runs differ: settings, tricks first, then the seed and the data.

    Each is (path, text of the first run's value, text of the second's).
    """
    of_runs = (
        {"seed": record.seed, "fingerprint of the data": record.fingerprint}
        for record in (first, second)
    )
    return changed_settings(first.recipe, second.recipe) + changed_values(*of_runs)


def disagreement(
    first: Sequence[PredictionRow], second: Sequence[PredictionRow]
) -> dict[str, int] | None:
    """Count the images that both, one or none of two runs predict rightly.

    None if the runs were not validated on the same images.
    """
    right_a, right_b = (
        {(row.image, row.label): row.right for row in rows} for rows in (first, second)
    )
    # An image that is there twice would be counted once.
    if right_a.keys() != right_b.keys() or len(right_a) != len(first):
        return None
    pairs = [(right, right_b[key]) for key, right in right_a.items()]
    return {
        "both": pairs.count((True, True)),
        "first": pairs.count((True, False)),
        "second": pairs.count((False, True)),
        "none": pairs.count((False, False)),
    }


def right_gap(
    first: Sequence[PredictionRow], second: Sequence[PredictionRow]
) -> dict[str, Any] | None:
    """Compare the share of images that two runs predict rightly; see `paired_scores`.

    None if the runs were not validated on the same images.
    """
    # Without a count of disagreement rows are not pairs.
    if disagreement(first, second) is None:
        return None
    right_a, right_b = (
        {f"{row.image} {row.label}": 100.0 * row.right for row in rows} for rows in (first, second)
    )
    return paired_scores("right", right_a, right_b)


def _curves(sides: Sequence[_Side]) -> list[tuple[str, str | None]]:
    def series(side: _Side, points: Sequence[tuple[float, float | None]]) -> Series:
        return Series(
            label=f"{side.letter}: {side.record.folder.name}",
            points=points,
            color="orange" if side.letter == "B" else "blue",
            dashed=side.letter == "B",
        )

    def overlay(name: str, text: str, y: str) -> str | None:
        lines = [series(side, side.record.curve(name)) for side in sides]
        return line_chart(lines, name=name, label=f"{text} of both runs over the epochs", y=y)

    task = sides[0].record.task
    rates = [series(side, planned_schedule(side.record) or []) for side in sides]
    of_classification = (
        ("Top-1 on the validation set", overlay("top1", "Top-1 accuracy", "top-1 in %")),
        ("Loss on the validation set", overlay("loss", "Validation loss", "loss in nats")),
        ("Training loss", overlay("train_loss", "Training loss", "loss in nats")),
    )
    of_task = (
        (caption, overlay(name, caption, axis))
        for caption, name, axis in (task_report(task).curves if task != "classification" else ())
    )
    return [
        *(of_classification if task == "classification" else of_task),
        (
            "Learning rate",
            line_chart(rates, name="rate", label="Learning rate of both runs", y="learning rate"),
        ),
    ]
