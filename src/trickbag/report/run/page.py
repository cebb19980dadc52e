"""The page of a run: one self-contained HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.evaluate.record import read_records
from trickbag.report.format import interval_text, number, title, unit, value_text
from trickbag.report.pages import write_page
from trickbag.report.recipe_text import flatten, source_name
from trickbag.report.run import sections
from trickbag.report.run.calibration import calibration
from trickbag.report.run.probe import probe_section
from trickbag.report.run.records import read_record
from trickbag.train.folder.predictions import read_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trickbag.report.pictures import Pictures
    from trickbag.report.run.records import ReportedRun
    from trickbag.train.folder.predictions import PredictionRow

__all__ = ["run_page"]


def run_page(folder: Path, out: Path | None = None, pictures: Pictures | None = None) -> Path:
    """Write the page of a run, by default `report.html` in the run's folder; return its path.

    The page loads nothing: styles, charts and pictures are inside. A run that has not finished, or
    has failed, gets a page of what there is. Raises UserError if the folder is no run, or one of
    its files is damaged.
    """
    record = read_record(folder)
    if record.task != "classification":
        from trickbag.report.run.tasks.page import TEMPLATE, task_context

        template, of_task = TEMPLATE, task_context(record, pictures)
    else:
        template, of_task = "run.html", _of_classification(record, pictures)
    source = source_name(record.recipe)
    context = {
        "title": f"{record.name} on {source}" if source else record.name,
        "record": record,
        "metrics": [
            (
                title(name),
                number(name, value),
                unit(name),
                interval_text(name, record.intervals.get(name)),
            )
            for name, value in record.metrics.items()
        ],
        **of_task,
        "recipe": sections.recipe(record),
        "environment": [
            (name, value_text(value)) for name, value in flatten(record.environment).items()
        ],
        "errors": record.data_errors[: sections.SHOWN_ERRORS],
    }
    return write_page(template, context, out or folder / "report.html")


def _of_classification(record: ReportedRun, pictures: Pictures | None) -> dict[str, Any]:
    predictions = read_predictions(record.folder / "predictions.csv")
    return {
        "headline": sections.headline(record, predictions),
        "facts": sections.facts(record, predictions),
        "curves": sections.curves(record),
        "probe": probe_section(record),
        "calibration": calibration(record, predictions),
        "classes": sections.classes(record.classes, predictions) if predictions else None,
        "pictures": sections.pictures(pictures),
        **_evaluations(record, predictions),
    }


def _evaluations(
    record: ReportedRun, predictions: Sequence[PredictionRow] | None
) -> dict[str, Any]:
    """Describe the evaluations that the run's folder keeps, by their kinds; None for the others."""
    # Imported late: some have pictures, and Pillow is not needed to import the package.
    from trickbag.report.run.localization import localization_section
    from trickbag.report.run.robustness import robustness_section
    from trickbag.report.run.selective import selective_section
    from trickbag.report.run.stability import perturbations_section, shifts_section
    from trickbag.report.run.tta import tta_section

    kept = read_records(record.folder)
    return {
        "selective": selective_section(predictions, kept.get("selective"), record),
        "robustness": robustness_section(kept.get("robustness"), record),
        "perturbations": perturbations_section(kept.get("perturbations"), record),
        "shifts": shifts_section(kept.get("shifts"), record),
        "tta": tta_section(kept.get("tta"), record),
        "localization": localization_section(kept.get("localization"), record),
    }
