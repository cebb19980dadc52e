"""Runs on data with copies: notes, what is dropped, resuming, evaluation at another place."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.builders.images import digit_folder
from tests.builders.runs import QUICK
from trickbag.cli import main

pytestmark = pytest.mark.slow


def call(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_says_and_drops_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = digit_folder(tmp_path / "set", {"one": 1, "two": 2}, 20)
    for copy in ("one/x.png", "one/y.png", "two/z.png"):
        shutil.copy(tree / "one" / "003.png", tree / copy)
    noted, dropped = tmp_path / "noted", tmp_path / "dropped"
    quick = ["--data", tree, *QUICK, "--epochs", 1]
    assert call(capsys, "train", *quick, "--out", noted)[0] == 0
    result = json.loads((noted / "result.json").read_text())
    assert any("copies: 1 image lies in more than one class" in text for text in result["warnings"])
    assert not result["data_errors"]

    drop = ["--set", "data.duplicates=drop"]
    assert call(capsys, "train", *quick, *drop, "--out", dropped)[0] == 0
    with (dropped / "data_errors.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [
            "one/003.png",
            "one/x.png",
            "one/y.png",
            "two/z.png",
        ]
    assert json.loads((dropped / "result.json").read_text())["trial"] != result["trial"]

    code, _, err = call(capsys, "train", *quick, *drop, "--out", noted, "--resume")
    assert code == 2
    assert "data.duplicates" in err
    assert call(capsys, "train", *quick, *drop, "--out", dropped, "--resume")[0] == 0

    # At another place the data of the run are known, and split as in the run.
    shutil.move(tree, tmp_path / "moved")
    for run in (noted, dropped):
        metrics = json.loads((run / "result.json").read_text())["metrics"]
        code, out, err = call(capsys, "evaluate", run, "--data", tmp_path / "moved", "--json")
        assert (code, "have changed" in err) == (0, False)
        assert json.loads(out)["top1"] == metrics["top1"]


def test_a_study_says_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = digit_folder(tmp_path / "set", {"one": 1, "two": 2}, 12)
    shutil.copy(tree / "one" / "003.png", tree / "two" / "x.png")
    design = ["--design", "one-at-a-time", "--tricks", "mixup", "--seeds", 1]
    arguments = ["--data", tree, *QUICK, "--epochs", 1, *design, "--out", tmp_path / "study"]
    assert call(capsys, "study", *arguments)[0] == 0
    notes = json.loads((tmp_path / "study" / "study.json").read_text())["notes"]
    assert [text for text in notes if text.startswith("copies: 1 image lies in more than one")]


def test_wrong_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "doctor", "digits", "--set", "data.duplicates=remove")
    assert code == 2
    assert err.count("\n") == 1
    assert "data.duplicates = 'remove': must be one of note, drop" in err
