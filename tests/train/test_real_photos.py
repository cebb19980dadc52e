"""The main trainer on real photos, end to end: damaged files among them, then evaluation and
prediction."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import pytest

from trickbag.cli import main

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "imagenette-mini.zip"


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(
    not PHOTOS.is_file(), reason="needs imagenette-mini.zip of the shared data sets"
)
def test_photos_from_a_folder_to_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(PHOTOS) as archive:
        archive.extractall(tmp_path)
    source, out = tmp_path / "imagenette-mini", tmp_path / "run"
    first, second, *_ = sorted((source / "train" / "n01440764").iterdir())
    first.write_bytes(first.read_bytes()[:3000])
    second.write_bytes(b"")
    small = ["--epochs", "3", "--image-size", "48", "--batch-size", "32"]
    small += ["--set", "model.width_factor=0.5"]
    assert main(["train", "--data", str(source), *small, "--out", str(out)]) == 0
    result = json.loads((out / "result.json").read_text())
    assert [error["file"] for error in result["data_errors"]] == [
        f"train/n01440764/{p.name}" for p in (first, second)
    ]
    assert result["metrics"]["best_top1"] > 20  # of ten classes, where chance is 10 %
    page = (out / "report.html").read_text()
    assert first.name in page
    assert "data:image/" in page

    capsys.readouterr()
    assert main(["evaluate", str(out), "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["top1"] == pytest.approx(result["metrics"]["best_top1"], abs=1e-9)

    csv_file = tmp_path / "out.csv"
    assert main(["predict", str(out), str(source / "val"), str(first), "--csv", str(csv_file)]) == 0
    with csv_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 401
    right = sum(row["label"] == Path(row["image"]).parent.name for row in rows)
    assert 100 * right / 400 == pytest.approx(result["metrics"]["best_top1"], abs=1e-9)
    assert [row["error"] for row in rows if row["error"]] == ["truncated JPEG"]
