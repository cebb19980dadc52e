from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.report.html_page import Page
from tests.report.run_folder import write_json, write_run
from trickbag.errors import Note, UserError
from trickbag.evaluate.localization.details import LocalizationDetails, LocatedPicture
from trickbag.evaluate.localization.outcome import Localization
from trickbag.evaluate.record import EvaluationRecord
from trickbag.report import run_page
from trickbag.report.run.localization import localization_section
from trickbag.report.run.records import read_record

if TYPE_CHECKING:
    from pathlib import Path

PICTURES = [("worst", "a <cat>.png", "dog", 0.02), ("best", "b.png", "cat", 0.91)]


def details() -> LocalizationDetails:
    curve = [10.0, 55.5, 20.0]
    return LocalizationDetails(
        maps=9,
        thresholds=[0.0, 0.2, 0.4],
        box_accuracy=dict.fromkeys(("0.3", "0.5", "0.7"), curve),
        any_box_accuracy=dict.fromkeys(("0.3", "0.5", "0.7"), curve),
        top1_localization=[5.0, 40.0, 10.0],
        top1=70.0,
        best_threshold=0.2,
        mean_iou=0.4,
        classes={"cat": {"maps": 4, "gt_known_localization": 75.0}},
        pictures=[
            LocatedPicture(
                file=f"localization-{group}-1.png",
                group=group,
                image=image,
                label="cat",
                predicted=predicted,
                iou=iou,
            )
            for group, image, predicted, iou in PICTURES
        ],
    )


def record(**changes: Any) -> EvaluationRecord:
    values: dict[str, Any] = {
        "kind": "localization",
        "data": "boxes",
        "part": "val",
        "images": 8,
        "weights": "best.safetensors, epoch 1 of 2",
        "epoch": 1,
        "precision": "float32",
        "metrics": {
            "max_box_acc": 55.5,
            "max_box_acc_v2": 50.25,
            "gt_known_localization": 55.5,
            "top1_localization": None,
        },
        "settings": {"method": "grad-cam", "threshold": 0.15, "limit": None},
        "details": details().to_dict(),
        "notes": (Note("data", None, "a <note> on boxes"),),
    }
    return EvaluationRecord(**values | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "run", epochs=2)
    result = json.loads((run / "result.json").read_text())
    weights = {"file": "best.safetensors", "keep": "last", "score": "top1", "epoch": 2}
    result |= {"schema": 2, "weights": weights | {"epochs": 2, "precision": "float32"}}
    write_json(run / "result.json", result)
    image = np.full((70, 70, 3), 90, np.uint8)
    names = [picture.file for picture in details().pictures]
    localization = Localization(record=record(), pictures=dict.fromkeys(names, image))
    localization.record.write(run)
    localization.write_pictures(run)
    return run


def test_the_section_of_a_page(folder: Path) -> None:
    html = run_page(folder).read_text()
    assert '<a href="#localization">' in html
    page = Page(folder / "report.html")
    page.check()
    text = page.words("localization").replace("\u00a0", " ")
    for part in (
        "gradient-weighted class activation maps (Grad-CAM), 9 maps",
        "8 images of boxes (val), by best.safetensors, epoch 1 of 2, in float32",
        "These are other weights than those of the run's numbers",
        "a <note> on boxes",
        "fixed at 15 %",
        "here 20 %: it is a maximum",
        "Top-1 of these images is 70.0 %",
        "cat, predicted dog: IoU 0.02 a <cat>.png",
        "cat: IoU 0.91 b.png",
        "MaxBoxAccV2",
    ):
        assert part in text, part
    assert html.count('alt="heat map of cat in') == 2


def test_a_page_without_pictures_or_with_damaged_ones(folder: Path, tmp_path: Path) -> None:
    run = read_record(folder)
    for text in (b"", b"no picture", None):
        for name in ("worst", "best"):
            path = folder / "evaluations" / f"localization-{name}-1.png"
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_bytes(text)
        section = localization_section(record(), run)
        assert section is not None
        assert section["groups"] == []
    assert localization_section(None, run) is None


def test_damaged_details_are_named(folder: Path) -> None:
    broken = record(details={**details().to_dict(), "maps": "nine"})
    with pytest.raises(
        UserError, match=r"cannot read .*localization\.json: details: maps = 'nine'"
    ):
        localization_section(broken, read_record(folder))
