from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.report.html_page import Page
from tests.report.run_folder import write_json, write_run
from trickbag.errors import Note, UserError
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.details import RobustnessDetails
from trickbag.evaluate.robustness.folder import Cell
from trickbag.evaluate.robustness.pictures import CorruptionPictures
from trickbag.metrics.corruption import EXTRA_CORRUPTIONS, MAIN_CORRUPTIONS, normalised_error
from trickbag.report import run_page
from trickbag.report.run.evaluated import evaluated
from trickbag.report.run.records import read_record
from trickbag.report.run.robustness import error_chart, robustness_section

if TYPE_CHECKING:
    from pathlib import Path

ERRORS: dict[str, list[float | None]] = {
    name: [10.0 + i, 20.5, 30.25, 40.0, 60.0 + i]
    for i, name in enumerate((*MAIN_CORRUPTIONS, *EXTRA_CORRUPTIONS))
}


def record(weights: str = "best.safetensors, epoch 2 of 2", **changes: Any) -> EvaluationRecord:
    details = RobustnessDetails(
        corruptions=ERRORS,
        images={name: [7] * 5 for name in ERRORS},
        ce={name: normalised_error(name, row) for name, row in ERRORS.items()},
        clean_error=5.0,
        clean_images=7,
        picture='photo "<b>1</b>.png',
    )
    values: dict[str, Any] = {
        "kind": "robustness",
        "data": "digits",
        "part": "val",
        "images": 7,
        "weights": weights,
        "epoch": 2,
        "precision": "float32",
        "metrics": {"mce": 43.21, "mean_corruption_error": 32.1, "relative_mce": None},
        "settings": {
            "table": "imagenet_c",
            "frost": "generated",
            "seed": 4,
            "limit": 7,
            "image_size": [32, 48],
            "source_dir": None,
        },
        "details": details.to_dict(),
        "notes": (Note("data", None, "a <note> on frost"),),
    }
    return EvaluationRecord(**values | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "run", epochs=2)
    result = json.loads((run / "result.json").read_text())
    weights = {"file": "best.safetensors", "keep": "last", "score": "top1", "epoch": 2}
    result |= {"schema": 2, "weights": weights | {"epochs": 2, "precision": "float32"}}
    write_json(run / "result.json", result)
    record().write(run)
    pictures = CorruptionPictures()
    for name in ("fog", "jpeg_compression"):
        for severity in range(1, 6):
            pictures(Cell(name, severity), np.full((8, 8, 3), 40 * severity, np.uint8))
    pictures.write(run)
    return run


def test_the_section_of_a_page(folder: Path) -> None:
    page = Page(run_page(folder))
    page.check()
    text = page.words("robustness")
    assert "Crops corrupted, 48x32 px: parameters of imagenet_c, frost generated, seed 4" in text
    assert "7 images of digits (val), by best.safetensors, epoch 2 of 2, in float32." in text
    assert "other weights" not in text
    assert "a <note> on frost" in text
    assert "43.21 %" in text
    # A row: 10, 20.5, 30.25, 40 and 60 are 32.15 on average, of 88.6428.
    assert "gaussian noise 10.0 20.5 30.2 40.0 60.0 32.1 % 36.3 %" in text.replace("\u00a0", " ")
    assert "JPEG compression 24.0" in text
    assert "saturate 28.0" in text
    alts = [image["alt"] for image in page.all("img")]
    assert len(alts) == 10
    assert 'fog, severity 3: photo "<b>1</b>.png' in alts
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert "Top-1 error of 19 corruptions over severities 1 to 5: on average 19.0" in " ".join(
        labels
    )
    assert {"href": "#robustness"} in page.all("a")


def test_an_evaluation_of_other_weights_says_so(folder: Path) -> None:
    about = evaluated(record("last.safetensors, epoch 1 of 2"), read_record(folder))
    assert about["other"].startswith(
        "These are other weights than those of the run's numbers: best.safetensors, epoch 2"
    )
    assert evaluated(record(), read_record(folder))["other"] is None


def test_views_that_were_averaged_are_named(folder: Path) -> None:
    settings = {**record().settings, "tta": "flip"}
    text = evaluated(record(settings=settings), read_record(folder))["text"]
    assert text.endswith("in float32, the mean over the views of flip")


@pytest.mark.parametrize("change", [{"corruptions": {"fog": [1]}}, {"picture": 3}])
def test_a_damaged_record_is_named(folder: Path, change: dict[str, Any]) -> None:
    damaged = record(details=record().details | change)
    with pytest.raises(UserError, match=r"cannot read .*evaluations/robustness.json: details: "):
        robustness_section(damaged, read_record(folder))


def test_a_chart_of_what_there_is() -> None:
    assert error_chart({"fog": [None] * 5}, 3.0) is None
    chart = error_chart({"fog": [1.0, None, 3.0, None, None]}, None)
    assert chart is not None
    assert "Top-1 error of 1 corruptions" in chart
