"""The records of `recipe.json` and `result.json`: written, read, refused; files written before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from trickbag import recipes
from trickbag.errors import Note, UserError
from trickbag.metrics.detection import BoxScore
from trickbag.metrics.multi_label import LabelScore
from trickbag.metrics.per_class import ClassScore
from trickbag.metrics.segmentation import PixelScore
from trickbag.recipe import RUN_PARTS
from trickbag.study.records.result import StoredResult
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_recipe import RunRecipe

NOTES = (
    Note("no_effect", "linear_scaling", "the batch is 256"),
    Note("choice", None, "the stem is deep_s1, for images of 16 px"),
)
RESULT = Result(
    trial="0123",
    label="small",
    seed=3,
    metrics={"top1": 90.5, "top5": None, "params": 7},
    environment={"python": "3.12"},
    data_errors=[{"file": "a.png", "reason": "truncated"}],
    notes=[note.to_dict() for note in NOTES],
)


def run_recipe() -> RunRecipe:
    return RunRecipe(
        recipe=recipes.small().to_dict(),
        resolved={"seed": 3, "device": "cpu"},
        notes=NOTES,
        trial={"recipe": {}, "seed": 3, "data": "f00d"},
    )


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    RESULT.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == RESULT
    assert Result.read(tmp_path / "none.json") is None
    assert RESULT.warnings == [note.text for note in NOTES]
    assert RESULT.warnings[0] == "linear_scaling has no effect: the batch is 256"


def test_the_scores_of_the_classes_are_read_as_they_were_written(tmp_path: Path) -> None:
    plain = ClassScore(support=3, recall=100.0, precision=None, f1=50.0)
    label = LabelScore(**vars(plain), average_precision=75.0, threshold=0.25)
    box = BoxScore(**vars(plain), average_precision=25.0, average_precision_voc07=None)
    pixel = PixelScore(support=7, iou=None, recall=50.0, precision=12.5)
    classes = {"a": plain, "b": label, "c": box, "d": pixel}
    result = dataclasses.replace(RESULT, classes=classes)
    result.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == result
    before = result.to_dict()
    del before["classes"]
    assert Result.from_dict(before).classes == {}
    # A line of a study's results has a bounded length: the table stays in the trial's file.
    stored = StoredResult(**vars(result), model="resnet18")
    assert "classes" not in stored.to_dict()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], r"classes = \[\]: must be an object"),
        ({"a": 1}, r"classes.a = 1: must be an object of scores"),
        ({"a": {"support": 1, "recall": None}}, r"classes.a lacks precision, f1"),
        (
            {"a": {"support": None, "recall": 1, "precision": 1, "f1": 1}},
            r"classes.a.support = None: must be a whole number",
        ),
        (
            {"a": {"support": 1, "recall": "1", "precision": 1, "f1": 1}},
            r"classes.a: recall = '1': must be a number or null",
        ),
    ],
)
def test_damaged_scores_of_classes_are_named(classes: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Result.from_dict(RESULT.to_dict() | {"classes": classes})


def test_the_status_follows_the_error_unless_it_is_given() -> None:
    common: dict[str, Any] = {"trial": "0", "label": "a", "seed": 0, "metrics": {}}
    assert Result(**common).status == "finished"
    assert Result(**common, error="the disk is full").status == "failed"
    assert Result(**common, error="no", status="does_not_apply").status == "does_not_apply"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "finished"),
        ("the disk is full", "failed"),
        ("does not apply: squeeze_excite needs an attention slot", "does_not_apply"),
    ],
)
def test_results_written_before_are_read(error: str | None, status: str) -> None:
    before = RESULT.to_dict() | {"error": error}
    for key in ("schema", "notes", "status"):
        del before[key]
    result = Result.from_dict(before | {"model": "resnet18"})  # as a line of `results.jsonl`
    assert result.status == status
    assert result.error == (error and error.removeprefix("does not apply: "))
    assert result.notes == RESULT.notes
    assert result.warnings == before["warnings"]


def test_metrics_written_before_are_the_last_epochs() -> None:
    metrics = {"top1": 75.0, "loss": 0.9, "best_top1": 80.0, "best_epoch": 3, "test_top1": 74.0}
    before = RESULT.to_dict() | {"metrics": metrics}
    del before["schema"], before["weights"]
    result = Result.from_dict(before)
    assert result.is_of_version_1
    assert result.metrics == {
        "top1": 80.0,
        "epoch": 3,
        "best_top1": 80.0,
        "best_epoch": 3,
        "last_top1": 75.0,
        "last_loss": 0.9,
        "last_test_top1": 74.0,
    }
    last = result.of_last_epoch().metrics
    assert {name: last[name] for name in metrics} == metrics
    assert "epoch" not in last
    # The trials of a study are read as trials that keep the last epoch.
    assert StoredResult.from_dict(before | {"model": "resnet18"}).metrics["top1"] == 75.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 3}, "schema = 3: this version of trickbag reads results of schema 1 to 2"),
        ({"seed": "x"}, "seed = 'x': must be a whole number"),
        ({"metrics": []}, r"metrics = \[\]: must be a JSON object"),
        ({"status": "done"}, "status = 'done': must be one of finished, failed, does_not_apply"),
        ({"notes": [{"kind": "choice"}]}, "must be a list of notes"),
        ({"notes": ["text"]}, "must be a list of notes"),
        ({"error": 3}, "error = 3: must be a text or null"),
    ],
)
def test_a_damaged_result_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(RESULT.to_dict() | changes))
    with pytest.raises(UserError, match=message) as error:
        Result.read(file)
    assert str(error.value).startswith(f"cannot read {file}: ")
    file.write_text(json.dumps({"warnings": "text"}))
    with pytest.raises(UserError, match="trial = None: must be a text"):
        Result.read(file)


def test_a_runs_recipe_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    run_recipe().write(file)
    stored = RunRecipe.read(file)
    assert stored == run_recipe()
    assert stored is not None
    assert (stored.name, stored.seed, stored.fingerprint) == ("small", 3, "f00d")
    assert stored.data == recipes.small().data
    assert RunRecipe.read(tmp_path / "none.json") is None
    data = json.loads(file.read_text())
    assert data["notes"] == [note.text for note in NOTES]
    # `stated` is what `show` adds to a shipped recipe.
    assert set(data) - set(recipes.small().to_dict()) == set(RUN_PARTS) - {"stated"}


def test_the_file_of_a_run_is_a_recipe_and_a_recipe_is_read_as_one_without_a_run(
    tmp_path: Path,
) -> None:
    run_recipe().write(tmp_path / "recipe.json")
    assert recipes.load(str(tmp_path)) == recipes.small()
    alone = RunRecipe.from_dict(recipes.small().to_dict())
    assert (alone.resolved, alone.trial, alone.seed, alone.fingerprint) == (None,) * 4


def test_recipes_of_runs_written_before_are_read() -> None:
    before = run_recipe().to_dict()
    del before["note_values"]
    assert RunRecipe.from_dict(before) == run_recipe()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema = 2: this version of trickbag reads recipes of schema 1"),
        ({"resolved": "x"}, "resolved = 'x': must be a JSON object"),
        ({"trial": [1]}, "trial = .*: must be a JSON object"),
        ({"note_values": ["text"]}, "note_values = .*: must be a list of notes"),
    ],
)
def test_a_damaged_recipe_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(run_recipe().to_dict() | changes))
    with pytest.raises(UserError, match=message) as error:
        RunRecipe.read(file)
    assert str(error.value).startswith(f"cannot read {file}: ")


def test_the_intervals_are_read_as_they_were_written(tmp_path: Path) -> None:
    result = dataclasses.replace(
        RESULT, intervals={"top1": (90.0, 95.5), "test_top1": (80.0, 99.0)}
    )
    result.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == result
    stored = StoredResult(**vars(result), model="resnet18")
    assert StoredResult.from_dict(stored.to_dict()).intervals == result.intervals
    before = result.to_dict()
    del before["intervals"]
    assert Result.from_dict(before).intervals == {}


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ([], r"intervals = \[\]: must be an object"),
        ({"top1": 3}, r"intervals.top1 = 3: must be a list of two numbers"),
        ({"top1": [3]}, r"intervals.top1 = \[3\]: must be a list of two numbers"),
        ({"top1": [3, "4"]}, r"intervals.top1: high = '4': must be a number or null"),
    ],
)
def test_damaged_intervals_are_named(intervals: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Result.from_dict(RESULT.to_dict() | {"intervals": intervals})
