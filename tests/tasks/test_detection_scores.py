"""The metrics of COCO, which are not computed after each epoch."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.builders.tasks import TASKS, task_recipe
from trickbag.data.dataset import prepare
from trickbag.errors import UserError
from trickbag.tasks import task_of
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.plan.score import score_notes


def test_an_epoch_can_be_chosen_by_a_metric_of_coco(tmp_path: Path) -> None:
    recipe = task_recipe("detection", TASKS["detection"].data(tmp_path / "data"))
    recipe = recipe.set_all({"training.score": "map75"})
    result = fit(recipe, 3, tmp_path / "run", log=RunLog())
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(isinstance(line["map75"], float) for line in lines)
    assert not any("map" in line for line in lines)
    assert result.weights is not None
    assert result.weights.score == "map75"


def test_without_the_extra_a_note_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = task_recipe("detection", TASKS["detection"].data(tmp_path / "data"))
    dataset = prepare(recipe.data, annotations="boxes")
    task = task_of(recipe.task, num_classes=2)
    assert score_notes(recipe.training, dataset, task) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (note,) = score_notes(recipe.training, dataset, task)
    assert "trickbag[detection]" in note.text
    chosen = recipe.set_all({"training.score": "map"}).training
    with pytest.raises(UserError, match="torchmetrics"):
        score_notes(chosen, dataset, task)
