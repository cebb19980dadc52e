"""`trickbag evaluate` of a run."""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.builders.images import digits_of

if TYPE_CHECKING:
    from pathlib import Path


Call = Any


def test_evaluate(call: Call, run: Path) -> None:
    result = json.loads((run / "result.json").read_text())["metrics"]
    best = json.loads((run / "metrics.jsonl").read_text().splitlines()[result["best_epoch"] - 1])
    code, out, err = call("evaluate", run, "--workers", "0", "--json")
    assert (code, err) == (0, "")
    evaluation = json.loads(out)
    for name in ("top1", "top5", "loss", "ece", "balanced_accuracy", "macro_f1", "auc"):
        assert evaluation[name] == best[name]
    assert (evaluation["images"], evaluation["part"], evaluation["left_out"]) == (6, "val", [])
    out = call("evaluate", run, "--workers", "0")[1]
    assert f"top-1  {best['top1']:.2f} %" in out
    assert "top-5  undefined" in out
    assert f"loss   {best['loss']:.4f}" in out
    assert f"balanced accuracy {best['balanced_accuracy']:.2f} %" in out
    assert set(evaluation["classes"]) == {"one", "three", "zero"}
    assert "2 images  recall" in out


def test_evaluate_gives_intervals_and_confusions(call: Call, run: Path) -> None:
    evaluation = json.loads(call("evaluate", run, "--workers", "0", "--json")[1])
    stored = json.loads((run / "result.json").read_text())
    assert evaluation["intervals"] == stored["intervals"]
    low, high = evaluation["intervals"]["top1"]
    assert 0 <= low <= evaluation["top1"] <= high <= 100
    matrix = evaluation["confusion"]["matrix"]
    assert sum(map(sum, matrix)) == 6
    wrong = sum(map(sum, matrix)) - sum(matrix[k][k] for k in range(3))
    assert sum(pair["images"] for pair in evaluation["confusion"]["largest"]) == wrong
    out = call("evaluate", run, "--workers", "0")[1]
    assert f"top-1  {evaluation['top1']:.2f} % ({low:.1f} to {high:.1f})" in out
    assert "95 % intervals over images" in out
    assert ("taken for" in out) == bool(wrong)


def test_a_chosen_threshold_rejects_predictions(
    call: Call, run: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    code, out, err = call(
        "evaluate", folder, "--workers", "0", "--json", "--target-accuracy", "0.5"
    )
    assert code == 0, err
    selective = json.loads(out)["selective"]
    stored = json.loads((folder / "evaluations" / "selective.json").read_text())
    assert stored["metrics"]["threshold"] == selective["threshold"]
    assert selective["curve"]
    assert "reject below" in call("evaluate", folder, "--workers", "0", "--target-accuracy", "1")[1]
    code, out, err = call("predict", folder, photos, "--reject-below", "stored")
    assert (code, "have a confidence below" in err) == (0, True)
    code, out, err = call("predict", folder, photos, "--reject-below", "1", "--csv", tmp_path / "p")
    assert code == 0
    with (tmp_path / "p").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    assert {(row["label"], row["rejected"]) for row in rows} == {("", "true")}
    assert "36 of 36 images" in err
    table = call("predict", folder, photos, "--reject-below", "1")[1]
    assert table.count("(rejected)") == 36


def test_evaluate_a_limit_of_images(call: Call, run: Path) -> None:
    code, out, err = call("evaluate", run, "--workers", "0", "--json", "--limit", "4")
    assert (code, err) == (0, "")
    evaluation = json.loads(out)
    assert evaluation["images"] == 4
    assert evaluation["warnings"] == ["4 of 6 images are evaluated"]
    assert evaluation["metrics"]["top1"] == evaluation["top1"]


def test_evaluate_json_is_all_of_stdout_with_bad_files(
    call: Call, run: Path, tmp_path: Path
) -> None:
    for name, label in (("one", 1), ("zero", 0)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(digits_of(label, 10, 40)):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    (tmp_path / "one" / "0.png").write_bytes(b"")
    code, out, _ = call("evaluate", run, "--data", tmp_path, "--workers", "0", "--json")
    assert code == 0
    assert json.loads(out)["left_out"] == [{"file": "one/0.png", "reason": "empty file"}]
    assert "one/0.png  empty file" in call("evaluate", run, "--data", tmp_path, "--workers", "0")[1]


def test_evaluate_robustness(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--robustness", "--limit", "2", "--workers", "0", "--seed", "3")
    code, out, _ = call("evaluate", copy, *options, "--json")
    assert code == 0
    evaluation = json.loads(out)
    errors = evaluation["corruptions"]
    assert len(errors) == 15
    assert all(len(row) == 5 and set(row) <= {0, 50, 100} for row in errors.values())
    mean = sum(sum(row) for row in errors.values()) / 75
    assert evaluation["mean_corruption_error"] == pytest.approx(mean)
    assert evaluation["metrics"]["mean_corruption_error"] == pytest.approx(mean)
    assert evaluation["mce"] is None
    assert evaluation["metrics"]["clean_error"] == 100 - evaluation["top1"]
    assert evaluation["robustness"]["settings"]["seed"] == 3
    assert any("mce is undefined" in text for text in evaluation["warnings"])
    kept = json.loads((copy / "evaluations" / "robustness.json").read_text())
    assert kept["details"] == evaluation["robustness"]["details"]
    assert len(list((copy / "evaluations").glob("robustness-*.png"))) == 15


@pytest.mark.slow
def test_evaluate_robustness_prints_a_table(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--robustness", "--extra-corruptions", "--limit", "2", "--workers", "0")
    out = call("evaluate", copy, *options)[1]
    record = json.loads((copy / "evaluations" / "robustness.json").read_text())
    mean = record["metrics"]["mean_corruption_error_19"]
    assert "corrupted images: 2 for each corruption and severity" in out
    assert "parameters of cifar10_c, seed 0" in out
    assert f"mean error on 19 corruptions: {mean:.2f} %" in out
    (fog,) = (line.split() for line in out.splitlines() if line.startswith("fog"))
    assert fog[1:6] == [f"{error:.1f}" for error in record["details"]["corruptions"]["fog"]]
