"""The section of a run's page on calibration: reliability before and after, with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.evaluate.record import read_records
from trickbag.metrics.calibration_scores import Calibration
from trickbag.metrics.temperature import FOLDS
from trickbag.report.charts import reliability_chart
from trickbag.report.format import number, percent, title, unit
from trickbag.report.run.predictions import reliability
from trickbag.settings import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.report.run.records import ReportedRun
    from trickbag.train.folder.predictions import PredictionRow

__all__ = ["calibration"]

_PAIRS = (("ece", "calibrated_ece"), ("loss", "calibrated_loss"))
"""Metrics without and with a temperature."""


def calibration(
    record: ReportedRun, predictions: Sequence[PredictionRow] | None
) -> dict[str, Any] | None:
    """Describe how far confidences fit the accuracy, before and after calibration.

    Of a run of before, which has no temperature, it is that of its predictions, unless
    `evaluate --calibrate` has fitted one. None if there is neither. Raises UserError if the record
    of that is damaged.
    """
    fitted, metrics, weights = _calibrated(record)
    if fitted is None:
        return _of_predictions(record, predictions)
    calibrated = None
    if fitted.after is not None:
        calibrated = reliability_chart(fitted.after.reliability(), name="calibrated-reliability")
    return {
        "chart": reliability_chart(fitted.before.reliability()),
        "calibrated": calibrated,
        "ece": _percent(metrics.get("ece")),
        "calibrated_ece": _percent(metrics.get("calibrated_ece")),
        "temperature": f"{fitted.temperature:.4g}",
        "images": fitted.images,
        "folds": min(FOLDS, fitted.images),
        "weights": weights,
        "reason": fitted.reason,
        "chance": _percent(metrics.get("ece_of_calibrated")),
        "pairs": [
            (
                title(name),
                number(name, metrics.get(name)),
                number(name, metrics.get(later)),
                unit(name),
            )
            for name, later in _PAIRS
        ],
    }


def _percent(value: float | None) -> str | None:
    return None if value is None else percent(value)


def _calibrated(
    record: ReportedRun,
) -> tuple[Calibration | None, Mapping[str, float | None], str | None]:
    """Return the calibration of a run with the metrics that belong to it, and of which weights."""
    if record.result is not None and record.result.calibration is not None:
        return record.result.calibration, record.metrics, None
    later = read_records(record.folder).get("calibration")
    if later is None:
        return None, {}, None
    try:
        fitted = read(Calibration, dict(later.details), "details")
    except UserError as error:
        raise UserError(
            f"cannot read the evaluation calibration of {record.folder}: {error.reason}"
        ) from error
    return fitted, later.metrics, later.weights


def _of_predictions(
    record: ReportedRun, predictions: Sequence[PredictionRow] | None
) -> dict[str, Any] | None:
    diagram = reliability(predictions) if predictions else None
    if diagram is None:
        return None
    ece = record.metrics.get("ece")
    return {
        "chart": reliability_chart(diagram),
        "calibrated": None,
        "calibrated_ece": None,
        "ece": percent(diagram.ece if ece is None else ece),
        "temperature": None,
    }
