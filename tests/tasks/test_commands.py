"""What every command does with a run of a task that is not classification."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.builders.tasks import TASKS
from trickbag.cli import main
from trickbag.recipe import Recipe
from trickbag.train.folder.result import Result


def printed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_an_evaluation_gives_the_metrics_of_the_run(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result.read(reference / "result.json")
    assert result is not None
    evaluated = printed(capsys, "evaluate", reference, "--device", "cpu", "--json")
    assert evaluated["metrics"] == {key: result.metrics[key] for key in evaluated["metrics"]}
    assert evaluated["classes"] == {key: score.to_dict() for key, score in result.classes.items()}
    assert evaluated["intervals"] == {key: list(ends) for key, ends in result.intervals.items()}
    assert evaluated["part"] == "val"
    assert "temperature" not in evaluated


def test_an_evaluation_on_other_data_matches_classes_by_name(
    reference: Path, recipe: Recipe, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(recipe.data.source, other)
    given = ("--data", other, "--part", "train", "--device", "cpu", "--json")
    before = printed(capsys, "evaluate", reference, *given)
    TASKS[name].with_fewer_classes(other)
    after = printed(capsys, "evaluate", reference, *given)
    assert set(after["classes"]) == set(before["classes"])
    kept = [key for key, score in after["classes"].items() if score["support"]]
    assert kept
    assert len(kept) < len(before["classes"])
    for key in kept:
        for measure in ("support", "recall", "average_precision"):
            assert after["classes"][key].get(measure) == before["classes"][key].get(measure)
    assert any("no image of" in text for text in after["warnings"])


OF_CLASSIFICATION: list[tuple[str, ...]] = [
    ("--tta", "flip"),
    ("--tta", "all"),
    ("--calibrate",),
    ("--robustness",),
    ("--perturbations",),
    ("--shift-consistency",),
    ("--target-accuracy", "90"),
]


@pytest.mark.parametrize("options", OF_CLASSIFICATION, ids=" ".join)
def test_an_evaluation_of_classification_is_refused(
    options: tuple[str, ...], reference: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in reference.iterdir())
    line = refused(capsys, "evaluate", reference, "--device", "cpu", *options)
    assert options[0] in line
    assert name in line
    assert "leave it out" in line
    assert sorted(path.name for path in reference.iterdir()) == before


def test_an_average_of_runs_is_refused(
    reference: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "evaluate", reference, reference, "--device", "cpu")
    assert "an average" in line
    assert name in line
