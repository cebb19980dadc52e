from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.report.html_page import Page
from tests.report.run_folder import write_json, write_run
from trickbag.errors import Note, UserError
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.perturbations.details import PerturbationDetails, ShiftDetails
from trickbag.evaluate.robustness.perturbations.strips import FrameStrips
from trickbag.evaluate.robustness.perturbations.tables import PERTURBATIONS
from trickbag.metrics.flips import ALEXNET_FLIPS, flip_rate
from trickbag.report import run_page
from trickbag.report.run.records import read_record
from trickbag.report.run.stability import (
    consistency_chart,
    flip_chart,
    perturbations_section,
    shifts_section,
)

if TYPE_CHECKING:
    from pathlib import Path

FLIPS = {name: 1.0 + 0.5 * i for i, name in enumerate(PERTURBATIONS)}
DETAILS = PerturbationDetails(
    flip_probabilities=FLIPS,
    flip_rates={name: flip_rate(name, value) for name, value in FLIPS.items()},
    top5_distances=dict.fromkeys(FLIPS, 0.25),
    pairs=dict.fromkeys(FLIPS, 210),
    picture='photo "<b>1</b>.png',
)
SHIFTS = ShiftDetails(
    pairs={"random": [2, 10, 8], "diagonal": [5, 10, 5]},
    agreeing={"random": [2, 9, 4], "diagonal": [5, 8, 2]},
)
COMMON: dict[str, Any] = {
    "data": "digits",
    "part": "val",
    "images": 7,
    "weights": "best.safetensors, epoch 2 of 2",
    "epoch": 2,
    "precision": "float32",
}
RECORD = EvaluationRecord(
    kind="perturbations",
    **COMMON,
    metrics={"mfr": 43.21, "mean_flip_probability": 3.25, "mean_top5_distance": None},
    settings={"table": "imagenet_p", "seed": 4, "limit": None, "image_size": [32, 48]},
    details=DETAILS.to_dict(),
    notes=(Note("choice", None, "a <note> on videos"),),
)
SHIFT_RECORD = EvaluationRecord(
    kind="shifts",
    **COMMON,
    metrics={"shift_consistency": 75.0, "diagonal_shift_consistency": 75.0},
    settings={"pairs": 5, "seed": 0, "limit": None, "mode": "crop", "image_size": [32, 48]},
    details=SHIFTS.to_dict(),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "run", epochs=2)
    result = json.loads((run / "result.json").read_text())
    weights = {"file": "best.safetensors", "keep": "last", "score": "top1", "epoch": 2}
    result |= {"schema": 2, "weights": weights | {"epochs": 2, "precision": "float32"}}
    write_json(run / "result.json", result)
    RECORD.write(run)
    SHIFT_RECORD.write(run)
    strips = FrameStrips()
    for name in ("snow", "gaussian_blur"):
        for frame in range(31):
            strips(name, frame, np.full((8, 8, 3), 8 * frame, np.uint8))
    strips.write(run)
    return run


def test_the_sections_of_a_page(folder: Path) -> None:
    page = Page(run_page(folder))
    page.check()
    text = page.words("perturbations").replace("\u00a0", " ")
    assert "frames of 48x32 px, made as the network needs them, parameters of imagenet_p" in text
    assert "7 images of digits (val), by best.safetensors, epoch 2 of 2, in float32." in text
    assert "a <note> on videos" in text
    assert "43.21 %" in text
    assert "Gaussian noise 1.00 % 4.2 % 0.25" in text
    assert "shear 7.50 % 70.4 % 0.25" in text
    shifted = page.words("shifts").replace("\u00a0", " ")
    assert "5 pairs of views of each image, of 48x32 px, crops of the scaled image" in shifted
    assert "75.00 %" in shifted
    alts = [image["alt"] for image in page.all("img")]
    assert len(alts) == 12
    assert 'snow, frame 6: photo "<b>1</b>.png' in alts
    labels = " ".join(svg["aria-label"] for svg in page.all("svg"))
    assert "Flip probabilities of 14 perturbations, the largest that of shear" in labels
    assert "by their distance: 90.00" in labels
    assert {"href": "#perturbations"} in page.all("a")
    assert {"href": "#shifts"} in page.all("a")


DAMAGED = [
    {"picture": 3},
    {"flip_probabilities": {"fog": 1.0}},
    {"flip_probabilities": {"snow": 101.0}},
    {"flip_rates": {"snow": True}},
    {"top5_distances": {}},
    {"pairs": {"snow": -1}},
    {"pairs": None},
]


@pytest.mark.parametrize("change", DAMAGED)
def test_a_damaged_record_of_perturbations_is_named(folder: Path, change: dict[str, Any]) -> None:
    damaged = dataclasses.replace(RECORD, details=DETAILS.to_dict() | change)
    with pytest.raises(UserError, match=r"cannot read .*/perturbations.json: details: "):
        perturbations_section(damaged, read_record(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"pairs": {"random": [1]}},
        {"pairs": {"random": [1], "diagonal": [1.5]}},
        {"agreeing": {"random": [3, 9, 4], "diagonal": [5, 8, 2]}},
        {"agreeing": {"random": [2, 9], "diagonal": [5, 8, 2]}},
        {"agreeing": []},
    ],
)
def test_a_damaged_record_of_shifts_is_named(folder: Path, change: dict[str, Any]) -> None:
    damaged = dataclasses.replace(SHIFT_RECORD, details=SHIFTS.to_dict() | change)
    with pytest.raises(UserError, match=r"cannot read .*/shifts.json: details: "):
        shifts_section(damaged, read_record(folder))


def test_runs_without_these_evaluations_have_no_section(folder: Path) -> None:
    assert perturbations_section(None, read_record(folder)) is None
    assert shifts_section(None, read_record(folder)) is None


def test_charts_of_what_there_is() -> None:
    few = dataclasses.replace(DETAILS, flip_probabilities={"snow": 2.0}, flip_rates={"snow": None})
    chart = flip_chart(few)
    assert chart is not None
    assert "Flip probabilities of 1 perturbations" in chart
    empty: dict[str, list[int]] = {"random": [0, 0], "diagonal": [0, 0]}
    assert consistency_chart(ShiftDetails(pairs=empty, agreeing=empty)) is None
    assert flip_chart(dataclasses.replace(few, flip_probabilities={})) is None
    far = {"random": [1] * 200, "diagonal": [1] + [0] * 199}
    assert consistency_chart(ShiftDetails(pairs=far, agreeing=far)) is not None


def test_details_come_back_from_plain_data() -> None:
    assert PerturbationDetails.from_dict(DETAILS.to_dict()) == DETAILS
    assert ShiftDetails.from_dict(SHIFTS.to_dict()) == SHIFTS
    assert SHIFTS.consistency("random") == 75.0
    assert set(ALEXNET_FLIPS) == set(FLIPS)
