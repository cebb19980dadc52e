"""Arms of a study as people type them: settings, whole recipes, and what was fixed beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.recipes import study_arguments
from tests.builders.studies import effects, results

pytestmark = pytest.mark.slow

Call = Callable[..., tuple[int, str, str]]

THIN = ("--set", "model.width_factor=0.125")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A recipe's file that leaves open which images there are."""
    path = tmp_path / "mine.json"
    recipe = {
        "data": {"crop_area": [0.5, 1]},
        "model": {"kind": "resnet", "depth": 18, "width_factor": 0.125},
        "training": {"lr": 0.05, "epochs": 9, "batch_size": 16},
        "tricks": {"label_smoothing": {}},
    }
    path.write_text(json.dumps(recipe))
    return path


def test_settings_are_arms(call: Call, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    levels = ("--levels", "training.lr=0.4,0.01", "--levels", "model=resnet34")
    words = study_arguments(pictures, out, *THIN, *levels, "--seeds", "2")
    code, text, _ = call(*words)
    assert code == 0
    rows = effects(out)
    assert [(row["label"], row["plus"], row["minus"], row["pairs"]) for row in rows] == [
        ("training.lr=0.01", "training.lr=0.01", "full", 2),
        ("model=resnet34", "model=resnet34", "full", 2),
    ]
    assert "note: training.lr=0.4 is the recipe's own value" in text
    assert "On this data, against full, " in text
    heads = next(line for line in text.splitlines() if line.startswith("effect "))
    assert "this setting" in heads
    page = (out / "report.html").read_text()
    assert "from this setting minus from <b>" in page
    assert "model=resnet34" in page


def test_recipes_are_arms(call: Call, pictures: Path, tmp_path: Path, mine: Path) -> None:
    out = tmp_path / "study"
    words = study_arguments(pictures, out, *THIN, "--against", str(mine), "--seeds", "2")
    code, text, _ = call(*words, "--dry-run")
    assert code == 0
    assert "note: --image-size --epochs: for every arm" in text
    assert "note: --batch-size --without --set: for the study's own recipe alone" in text
    assert "4 trials to run" in text
    assert not out.exists()

    code, text, _ = call(*words)
    assert code == 0
    assert "On this data, against small, " in text
    (effect,) = effects(out)
    assert (effect["label"], effect["minus"], effect["pairs"]) == ("mine", "small", 2)
    lines = results(out)
    assert {line["metrics"]["epoch"] for line in lines.values()} == {1}, "--epochs is for all"
    trained = {}
    for trial, line in lines.items():
        recipe = json.loads((out / "trials" / trial / "recipe.json").read_text())
        trained[line["label"]] = recipe
        assert recipe["data"]["source"] == str(pictures)
        assert recipe["data"]["image_size"] == 16
    assert trained["mine"]["training"]["batch_size"] == 16
    assert trained["small"]["training"]["batch_size"] == 8
    assert trained["mine"]["data"]["crop_area"] == [0.5, 1]
