"""Studies of every task but classification: effects of tricks, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.tasks import TASKS
from tests.report.html_page import Page
from trickbag.cli import main
from trickbag.recipe import Recipe
from trickbag.study.log import StudyLog
from trickbag.tricks.cosine_decay import CosineDecay

pytestmark = pytest.mark.slow

OF_CLASSIFICATION = ("top-1", "accuracy against", "in the papers", "imagenet")


def test_a_study_of_tricks_by_every_executor(recipe: Recipe, name: str, tmp_path: Path) -> None:
    decay = next(n for n in ("step_decay", "poly_decay") if n in recipe.trick_names)
    full = recipe.without(decay).plus(CosineDecay()).set_all({"training.epochs": "1"})
    study = tb.Study(recipe=full, design=tb.LeaveOneOut(), seeds=2)
    study.run(tb.Inline(), tmp_path / "inline", log=StudyLog())
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(full.to_dict()))
    options = ["--seeds", "2", "--out", str(tmp_path / "local")]
    assert main(["study", str(file), *options]) == 0
    inline, local = (
        [{**row, "cost": None} for row in json.loads((folder / "effects.json").read_text())]
        for folder in (tmp_path / "inline", tmp_path / "local")
    )
    assert inline == local
    assert [row["label"] for row in inline] == list(full.trick_names)
    assert json.loads((tmp_path / "local" / "study.json").read_text())["outcome"] == (
        TASKS[name].score
    )
    assert main(["report", str(tmp_path / "inline")]) == 0
    lower = Page(tmp_path / "inline" / "report.html").by_section
    text = " ".join(
        words for section, words in lower.items() if section not in ("recipes", "methods")
    ).lower()
    assert not [word for word in OF_CLASSIFICATION if word in text]
    assert main(["study", str(file), "--outcome", "top1", "--out", str(tmp_path / "wrong")]) == 2
