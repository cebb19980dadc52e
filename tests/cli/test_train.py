"""`trickbag train` and the reports of its runs."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from trickbag.report.run.images import pictures_of

if TYPE_CHECKING:
    from pathlib import Path


Call = Any


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_train_leaves_what_was_promised(run: Path, kaggle: Path) -> None:
    for folder in (run, kaggle):
        names = {path.name for path in folder.iterdir()}
        assert {
            "recipe.json",
            "environment.json",
            "metrics.jsonl",
            "last.ckpt",
            "best.safetensors",
            "result.json",
            "predictions.csv",
            "report.html",
        } <= names


def test_a_finished_run_resumed_is_left_as_it_is(call: Call, run: Path, photos: Path) -> None:
    # Of subfolders too: evaluations of other tests leave theirs.
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, out, err = call("train", "--resume", "--out", run)
    assert (code, err) == (0, "")
    assert "finished run; left as it is" in out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_report_of_a_run_shows_its_pictures(call: Call, run: Path, tmp_path: Path) -> None:
    code, out, err = call("report", run, "--out", tmp_path / "page.html")
    assert (code, err) == (0, "")
    assert str(tmp_path / "page.html") in out
    pictures = pictures_of(run)
    assert pictures is not None
    assert len(pictures.augmented) == 16  # the batch
    assert pictures.augmented[0].image.shape == (16, 16, 3)
    wrong = [row for row in read_csv(run / "predictions.csv")[1:] if row[1] != row[2]]
    assert sorted(picture.name for picture in pictures.mistakes) == sorted(row[0] for row in wrong)
    for picture in pictures.mistakes:
        assert picture.image.shape == (8, 8, 3)
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") >= len(pictures.augmented) + len(pictures.mistakes)
    assert page.count('alt="heat map of ') == min(12, len(pictures.mistakes))


def test_pictures_of_what_is_not_there_are_none(run: Path, tmp_path: Path) -> None:
    assert pictures_of(tmp_path) is None
    copy = tmp_path / "run"
    copy.mkdir()
    record = json.loads((run / "recipe.json").read_text())
    record["data"]["source"] = str(tmp_path / "gone")
    (copy / "recipe.json").write_text(json.dumps(record))
    assert pictures_of(copy) is None


@pytest.mark.parametrize("form", ["md", "latex", "csv", "json"])
def test_the_table_of_a_run(call: Call, run: Path, form: str) -> None:
    code, out, err = call("report", run, "--format", form)
    assert (code, err) == (0, "")
    assert "best" in out.lower()
    if form == "json":
        json.loads(out)


def test_two_runs_compared(call: Call, run: Path, kaggle: Path, tmp_path: Path) -> None:
    code, out, _ = call("report", run, kaggle, "--out", tmp_path / "compared.html")
    assert code == 0
    assert (tmp_path / "compared.html").stat().st_size > 10_000
    assert str(tmp_path / "compared.html") in out
