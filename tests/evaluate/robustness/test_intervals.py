"""Intervals over images of the errors on corrupted images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.evaluate.robustness.brightness import by_brightness, plain_folder
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.counts import CorruptionCounts
from trickbag.evaluate.robustness.evaluation import evaluate_robustness
from trickbag.evaluate.robustness.folder import Cell
from trickbag.evaluate.robustness.intervals import Errors, corruption_intervals
from trickbag.evaluate.robustness.tally import ErrorTally
from trickbag.metrics.bootstrap import mean_intervals
from trickbag.metrics.corruption import (
    MAIN_CORRUPTIONS,
    SEVERITIES,
    mce,
    mean_corruption_error,
    relative_mce,
)
from trickbag.metrics.proportion import exact_interval

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

N = 40


def metrics_of(errors: Errors, clean: float | None) -> Mapping[str, float | None]:
    return {
        "mce": mce(errors),
        "relative_mce": relative_mce(errors, clean),
        "mean_corruption_error": mean_corruption_error(errors),
        "clean_error": clean,
        "absent": None,
    }


def counts_of(wrong_NC: np.ndarray) -> CorruptionCounts:
    counts = CorruptionCounts(data="x", part="val", is_paired=True)
    cells = [Cell(name, severity) for name in MAIN_CORRUPTIONS for severity in SEVERITIES]
    counts.cells = {cell: ErrorTally() for cell in cells}
    for wrong_N, tally in zip(wrong_NC.T, (counts.clean, *counts.cells.values()), strict=True):
        # In two batches; a label is 0.
        for rows in (slice(0, 15), slice(15, N)):
            predicted = torch.from_numpy(wrong_N[rows].astype(np.int64))
            tally.add(predicted, torch.zeros(len(predicted), dtype=torch.int64))
    return counts


def test_each_image_has_the_metrics_of_its_own_errors() -> None:
    rng = np.random.default_rng(0)
    wrong_NC = rng.random((N, 76)) < rng.beta(0.5, 1, (N, 1))
    counts = counts_of(wrong_NC)
    values: dict[str, list[float]] = {}
    for clean, *wrong in 100.0 * wrong_NC:
        rows = np.reshape(wrong, (15, 5)).tolist()
        errors = dict(zip(MAIN_CORRUPTIONS, rows, strict=True))
        for name, value in metrics_of(errors, clean).items():
            if value is not None:
                values.setdefault(name, []).append(value)
    expected = mean_intervals({name: np.array(row) for name, row in values.items()})
    intervals = corruption_intervals(counts, metrics_of)
    assert set(intervals) == {"mce", "relative_mce", "mean_corruption_error", "clean_error"}
    for name in ("mce", "relative_mce", "mean_corruption_error"):
        assert intervals[name] == pytest.approx(expected[name], abs=1e-6)
        assert intervals[name][0] < np.mean(values[name]) < intervals[name][1]
    assert intervals["clean_error"] == exact_interval(int(wrong_NC[:, 0].sum()), N)
    counts.is_paired = False
    assert set(corruption_intervals(counts, metrics_of)) == {"clean_error"}


@pytest.mark.slow
def test_the_record_has_them(tmp_path: Path) -> None:
    photos = plain_folder(tmp_path / "plain", 4, size=21)
    record = evaluate_robustness(
        by_brightness(), data=str(photos), names=("brightness", "contrast"), severities=(2, 5)
    )
    value = record.metrics["mean_corruption_error"]
    assert value is not None
    low, high = record.intervals["mean_corruption_error"]
    assert low < value < high
    assert "mce" not in record.intervals
    assert EvaluationRecord.from_dict(record.to_dict()) == record
