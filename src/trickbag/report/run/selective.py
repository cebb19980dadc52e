"""The section of a run's page on selective accuracy: accuracy where unsure images are rejected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.selective import aurc, risk_coverage
from trickbag.report.charts import Series, line_chart
from trickbag.report.format import percent
from trickbag.report.run.evaluated import evaluated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.report.run.records import ReportedRun
    from trickbag.train.folder.predictions import PredictionRow

__all__ = ["selective_section"]

_ACCURACIES = (99.0, 95.0)
"""Accuracies, in percent, for which the page says how many images reach them."""


def selective_section(
    predictions: Sequence[PredictionRow] | None,
    record: EvaluationRecord | None,
    run: ReportedRun,
) -> dict[str, Any] | None:
    """Draw the accuracy of the surest images of the validation part over their share.

    `record` is the evaluation that chose a threshold, if there is one. None if no prediction has a
    confidence.
    """
    rows = [row for row in predictions or () if row.confidence is not None]
    if not rows:
        return None
    confidence_N = np.array([row.confidence for row in rows], dtype=np.float64)
    right_N = np.array([row.right for row in rows])
    curve = risk_coverage(confidence_N, right_N)
    points = [(coverage, accuracy) for coverage, accuracy, _ in curve.curve()]
    area = aurc(confidence_N, right_N)
    chart = line_chart(
        [Series(label="accuracy", points=points)],
        name="selective",
        label=f"Accuracy of the surest images over their share of {len(rows)} images",
        x="accepted images in %",
        y="accuracy in %",
    )
    return {
        "chart": chart,
        "aurc": percent(None if area is None else 100 * area),
        "images": len(rows),
        "reached": [
            (percent(accuracy, 0), percent(_coverage(points, accuracy), 1))
            for accuracy in _ACCURACIES
        ],
        "stored": None if record is None else _stored(record),
        "about": None if record is None else evaluated(record, run),
    }


def _coverage(points: Sequence[tuple[float, float]], accuracy: float) -> float | None:
    """Return the largest coverage at which the accuracy is reached; None where it is at none."""
    return max((x for x, y in points if y >= accuracy and not math.isnan(y)), default=None)


def _stored(record: EvaluationRecord) -> str:
    """Describe the threshold of an evaluation."""
    metrics, target = record.metrics, record.settings.get("target_accuracy")
    if metrics.get("threshold") is None:
        return f"For an accuracy of {target} % there is no threshold."
    return (
        f"For an accuracy of {target} % predictions are rejected below a confidence of "
        f"{metrics['threshold']:.4f}: {percent(metrics.get('coverage'), 1)} of the images are "
        f"accepted, of which {percent(metrics.get('accuracy'))} are right, with a confidence of "
        f"{record.settings.get('confidence')} % more than "
        f"{percent(metrics.get('accuracy_low'), 1)}."
    )
