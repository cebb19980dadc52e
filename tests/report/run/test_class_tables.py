"""The classes and mistakes on the page of a run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.report.run.pages import page_of
from tests.report.run_folder import (
    write_csv,
    write_json,
    write_run,
)
from trickbag.report.run import sections

if TYPE_CHECKING:
    from pathlib import Path


def test_two_classes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", keep=lambda label: label < 2)
    page = page_of(folder)
    assert any(
        values["aria-label"].startswith("Confusion matrix of 2 classes")
        for values in page.all("svg")
    )


@pytest.mark.parametrize(
    ("classes", "drawn"), [(31, True), (100, True), (101, False), (1000, False)]
)
def test_many_classes(tmp_path: Path, classes: int, drawn: bool) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    names = [f"n{number:08}" for number in range(classes)]
    rows = [
        (f"{i}.jpg", names[i % classes], names[i % classes if i % 3 else (i + 7) % classes], 0.5)
        for i in range(3000)
    ]
    write_csv(folder / "predictions.csv", [("image", "label", "predicted", "confidence"), *rows])
    page = page_of(folder)
    matrix = [values for values in page.all("svg") if values["aria-label"].startswith("Confusion")]
    assert len(matrix) == drawn
    assert ("too many for a matrix" in page.words("confusion")) is not drawn
    assert len(page.words("classes").split("n000")) == classes + 1
    assert len(page.source) < 1_500_000


def test_the_classes_of_the_result_are_listed_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "SHOWN_CLASSES", 3)
    folder = write_run(tmp_path / "run", epochs=1)
    result = json.loads((folder / "result.json").read_text())
    # The predictions name digits: what is listed are the classes of the result.
    scores = {
        f"n{k}": {"support": 10, "recall": 100.0 - k, "precision": None, "f1": 50.0}
        for k in range(5)
    }
    scores["absent"] = {"support": 0, "recall": None, "precision": None, "f1": None}
    write_json(folder / "result.json", result | {"classes": scores})
    words = page_of(folder).words("classes")
    assert "3 more classes are in result.json" in words
    assert re.findall(r"n\d|absent", words) == ["n4", "n3", "n2"]  # the lowest recall first


def test_no_mistakes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    rows = [(f"{i}.jpg", f"c{i % 3}", f"c{i % 3}", 1.0) for i in range(30)]
    write_csv(folder / "predictions.csv", [("image", "label", "predicted", "confidence"), *rows])
    page = page_of(folder)
    assert "Every image of the validation set was classified rightly" in page.words("mistakes")
    assert "No image of the validation set was taken for another class" in page.words("confusion")
