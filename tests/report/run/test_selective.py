"""The section of a run's page on selective accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.report.html_page import Page
from tests.report.run_folder import validation, write_csv, write_run
from trickbag.evaluate.record import EvaluationRecord
from trickbag.metrics.selective import risk_coverage
from trickbag.report import run_page
from trickbag.train.folder.predictions import read_predictions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "small-1")


def section(folder: Path) -> str:
    page = Page(run_page(folder))
    page.check()
    return page.words("selective")


def record(threshold: float | None) -> EvaluationRecord:
    return EvaluationRecord(
        kind="selective",
        data="digits",
        part="val",
        images=360,
        weights="best.safetensors, epoch 6 of 6",
        epoch=6,
        precision="float32",
        metrics={
            "threshold": threshold,
            "coverage": 91.25,
            "accuracy": 99.5,
            "accuracy_low": 98.1,
            "aurc": 0.4,
        },
        settings={"target_accuracy": 99.0, "confidence": 95.0, "temperature": None},
    )


def test_it_says_how_many_of_the_surest_images_are_right(finished: Path) -> None:
    _, labels, _ = validation()
    text = section(finished)
    assert f"over {len(labels)} validation images" in text
    assert "evaluate RUN --target-accuracy 99" in text
    rows = read_predictions(finished / "predictions.csv") or []
    columns = [(row.confidence, row.right) for row in rows]
    confidence_N, right_N = (np.array(column) for column in zip(*columns, strict=True))
    curve = risk_coverage(confidence_N.astype(float), right_N)
    coverage = max(x for x, y, _ in curve.curve() if y >= 99)
    assert f"{coverage:.1f} % of these images, the surest ones, reach 99 % accuracy" in text


@pytest.mark.parametrize(
    ("threshold", "says"),
    [
        (0.8125, "rejected below a confidence of 0.8125: 91.2 % of the images are accepted"),
        (None, "For an accuracy of 99.0 % there is no threshold."),
    ],
)
def test_the_threshold_that_was_chosen(finished: Path, threshold: float | None, says: str) -> None:
    file = record(threshold).write(finished)
    text = section(finished)
    assert says in text
    assert "360 images of digits (val), by best.safetensors, epoch 6 of 6" in text
    file.unlink()


def test_without_confidences_there_is_no_curve(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    write_csv(
        folder / "predictions.csv",
        [("image", "label", "predicted", "confidence"), ("a", "x", "y", "nan")],
    )
    assert "no predictions with a confidence" in section(folder)
