"""The section of a run's page on test-time augmentation."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.html_page import Page
from tests.report.run_folder import write_run
from trickbag.errors import UserError
from trickbag.evaluate.record import EvaluationRecord, read_records
from trickbag.evaluate.tta_gain import TtaGain
from trickbag.report import run_page
from trickbag.report.run.records import read_record
from trickbag.report.run.tta import tta_section

if TYPE_CHECKING:
    from pathlib import Path

FLIP = TtaGain(name="flip", views=2, top1=91.5, gain=1.5, low=-0.25, high=3.5, speed=0.52)
CROPS = TtaGain(name="ten-crop", views=10, top1=89.0, gain=-1.0, low=-3.0, high=1.0, speed=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "run", epochs=1)
    EvaluationRecord(
        kind="tta",
        data="digits",
        part="val",
        images=360,
        weights="best.safetensors, epoch 1 of 1",
        epoch=1,
        precision="float32",
        metrics={"top1": 90.0, "top1_flip": 91.5},
        details={"gains": [FLIP.to_dict(), CROPS.to_dict()]},
    ).write(run)
    return run


def test_the_section_of_a_page(folder: Path) -> None:
    text = " ".join(Page(run_page(folder)).text.split())
    assert "360 images of digits (val)" in text
    assert "flip 2 91.50 % +1.50 -0.25 to +3.50 52 %" in text
    assert "ten-crop 10 89.00 % -1.00 -3.00 to +1.00" in text


@pytest.mark.parametrize(
    "gains",
    [None, [1], [{}], [FLIP.to_dict() | {"views": "2"}], [FLIP.to_dict() | {"more": 1}], {"a": 1}],
)
def test_a_damaged_record(folder: Path, gains: Any) -> None:
    record = dataclasses.replace(read_records(folder)["tta"], details={"gains": gains})
    with pytest.raises(UserError, match=r"cannot read .*tta\.json"):
        tta_section(record, read_record(folder))


def test_a_gain_is_read_back() -> None:
    for gain in (FLIP, CROPS):
        assert TtaGain.from_dict(json.loads(json.dumps(gain.to_dict()))) == gain
