"""`evaluate --shift-consistency` and `evaluate --perturbations`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from trickbag.evaluate.record import read_records
from trickbag.metrics.flips import TEST_PERTURBATIONS

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


def test_shift_consistency_is_printed_and_kept(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--workers", "0", "--shift-consistency", "--shift-pairs", "3", "--seed", "4")
    code, out, _ = call("evaluate", copy, *options, "--limit", "5", "--json")
    assert code == 0
    data = json.loads(out)
    record = read_records(copy)["shifts"]
    assert data["shifts"] == record.to_dict()
    assert data["metrics"]["shift_consistency"] == data["shift_consistency"]
    assert (record.images, sum(record.details["pairs"]["random"])) == (5, 15)
    assert record.settings["seed"] == 4
    code, out, _ = call("evaluate", copy, *options)
    assert code == 0
    value = read_records(copy)["shifts"].metrics["shift_consistency"]
    assert f"shift consistency: {value:.2f} %" in out
    assert "shifted images: 6, 3 pairs of each" in out


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--extra-perturbations"], ["--extra-perturbations", "add --perturbations"]),
        (["--shift-pairs", "3"], ["--shift-pairs", "--shift-consistency"]),
        (["--shift-consistency", "--shift-pairs", "0"], ["--shift-pairs = 0", "at least 1"]),
        (["--shift-consistency", "--shift-pairs", "many"], ["--shift-pairs", "many"]),
        (["--shift-consistency", "--seed", "-1"], ["--seed = -1"]),
    ],
)
def test_wrong_options_are_one_line(
    call: Call, run: Path, options: list[str], texts: list[str]
) -> None:
    code, out, err = call("evaluate", run, *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(text in err for text in texts)


@pytest.mark.slow
def test_flip_probabilities_are_printed_and_kept(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--workers", "0", "--perturbations", "--seed", "4")
    code, out, _ = call("evaluate", copy, *options, "--limit", "2", "--json")
    assert code == 0
    data = json.loads(out)
    record = read_records(copy)["perturbations"]
    assert data["perturbation_record"] == record.to_dict()
    assert data["perturbations"] == record.details["flip_probabilities"]
    assert list(data["perturbations"]) == list(TEST_PERTURBATIONS)
    assert data["mfr"] is data["metrics"]["mfr"] is None
    assert data["metrics"]["mean_flip_probability"] == data["mean_flip_probability"]
    names = {path.name for path in (copy / "evaluations").glob("*.png")}
    assert names == {f"perturbations-{name}.png" for name in TEST_PERTURBATIONS}


def test_a_note_on_the_images_is_there_once(
    call: Call, run: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos / "one", tmp_path / "one")
    options = ("--workers", "0", "--data", tmp_path, "--limit", "3", "--shift-consistency")
    code, out, err = call("evaluate", run, *options, "--shift-pairs", "1")
    assert code == 0
    assert err.count("no image of 2 of the network's 3 classes") == 1
    code, out, _ = call("evaluate", run, *options, "--shift-pairs", "1", "--json")
    data = json.loads(out)
    assert len(data["warnings"]) == len(set(data["warnings"])) == len(data["notes"])


@pytest.mark.slow
def test_extra_perturbations_are_shown(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    code, out, _ = call(
        "evaluate", copy, "--workers", "0", "--perturbations", "--extra-perturbations"
    )
    assert code == 0
    assert "perturbed images: 6 for each sequence" in out
    assert "parameters of cifar10_p, seed 0" in out
    record = read_records(copy)["perturbations"]
    for name, value in record.details["flip_probabilities"].items():
        (line,) = (each for each in out.splitlines() if each.startswith(name.replace("_", " ")))
        assert line.split()[-1] == f"{value:.2f}"
    assert "mFR: undefined" in out
    assert len(list((copy / "evaluations").glob("perturbations-*.png"))) == 14
    code, out, _ = call("report", copy)
    assert code == 0
    assert 'id="perturbations"' in (copy / "report.html").read_text()
