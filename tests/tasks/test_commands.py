"""What every command does with a run of a task that is not classification."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.tasks import TASKS
from trickbag.cli import main
from trickbag.recipe import Recipe
from trickbag.tasks.box_predictions import BoxPredictions
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_parts_are_those_of_the_run_where_other_data_have_them(
    reference: Path, recipe: Recipe, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    data = json.loads((run / "recipe.json").read_text())
    data["data"]["parts"] = ["train:val", "val:train"]
    (run / "recipe.json").write_text(json.dumps(data))
    other = tmp_path / "other"
    shutil.copytree(recipe.data.source, other)
    given = ("--data", other, "--device", "cpu", "--json")
    # The lists of the run, which are the other way round.
    assert printed(capsys, "evaluate", run, *given)["images"] == 6
    assert printed(capsys, "evaluate", reference, *given)["images"] == 2


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


@pytest.mark.slow
def test_the_speed_is_measured(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--device", "cpu", "--batch-size", "2", "--json", "--speed")
    speed = printed(capsys, "evaluate", reference, *given)["speed"]
    assert speed["throughput"] > 0
    assert speed["batch_size"] == 2


def test_an_average_of_runs_is_refused(
    reference: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "evaluate", reference, reference, "--device", "cpu")
    assert "an average" in line
    assert name in line


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def val_images(recipe: Recipe) -> list[Path]:
    folder = Path(recipe.data.source)
    return sorted(
        path
        for path in folder.rglob("*.*")
        if path.stem in ("image6", "image7") and path.parent.name in ("JPEGImages", "images")
    )


def test_predictions_are_those_of_the_run(
    reference: Path, recipe: Recipe, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    images = val_images(recipe)
    target, pictures = tmp_path / "all.json", tmp_path / "pictures"
    options = ["--json", str(target), "--pictures", str(pictures), "--device", "cpu"]
    options += ["--least", "0"] if name == "detection" else ["--masks", str(tmp_path / "masks")]
    assert main(["predict", str(reference), *map(str, images), str(damaged), *options]) == 0
    assert "1 of 3 images could not be predicted" in capsys.readouterr().err
    data = json.loads(target.read_text())
    assert [row["file"] for row in data["images"]] == [*map(str, images), str(damaged)]
    assert data["images"][2]["error"].startswith("not an image")
    for row in data["images"][:2]:
        with Image.open(pictures / row["picture"]) as picture:
            assert picture.size >= (row["width"], row["height"])
    if name == "detection":
        stored = json.loads((reference / "predictions.json").read_text())["images"]
        assert [row["boxes"] for row in data["images"][:2]] == [row["boxes"] for row in stored]
        assert BoxPredictions.read(target) is not None
        return
    right = counted = 0
    for row in data["images"][:2]:
        mask = pixels(tmp_path / "masks" / row["mask"])
        truth = pixels(Path(recipe.data.source) / "masks" / f"{Path(row['file']).stem}.png")
        right += int((mask == truth)[truth < 3].sum())
        counted += int((truth < 3).sum())
        assert sum(row["shares"].values()) == pytest.approx(100, abs=0.01)
    result = Result.read(reference / "result.json")
    assert result is not None
    assert 100 * right / counted == pytest.approx(result.metrics["pixel_accuracy"])


def test_predictions_are_printed(
    reference: Path, recipe: Recipe, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = val_images(recipe)[0].parent
    assert main(["predict", str(reference), str(folder), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "image"
    assert len(lines) == 1 + 8
    expected = "(none)" if name == "detection" else " %"
    assert all(expected in line for line in lines[1:])


def test_without_a_single_image_that_can_be_read_the_exit_status_is_1(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    assert main(["predict", str(reference), str(damaged), "--device", "cpu"]) == 1
    assert "error: not an image" in capsys.readouterr().out


WRONG_PREDICTIONS: list[tuple[list[str], str]] = [
    (["--csv", "x.csv"], "--csv is of classification"),
    (["--probabilities", "--csv", "x.csv"], "is of classification"),
    (["--top", "2"], "--top 2 is of classification"),
    (["--tta", "flip"], "--tta flip is of classification"),
    (["--reject-below", "0.5"], "--reject-below is of classification"),
    (["--raw-confidence"], "--raw-confidence is of classification"),
    (["--pictures", "full"], "--pictures 'full' is not empty"),
    (["--pictures", "no/such"], "there is no folder no"),
    (["--json", "full"], "--json 'full' is a folder"),
    (["--json", "RUN/recipe.json"], "is a file of the run itself"),
    (["--json", "IMAGE"], "is one of the files to predict from"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_PREDICTIONS, ids=str)
def test_a_wrong_option_of_predict_is_refused(
    options: list[str],
    message: str,
    reference: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = tmp_path / "image.png"
    shutil.copy(val_images(recipe)[0], image)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    monkeypatch.chdir(tmp_path)
    given = [text.replace("RUN", str(reference)).replace("IMAGE", str(image)) for text in options]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    line = refused(capsys, "predict", reference, image, "--device", "cpu", *given)
    assert message in line
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_option_of_the_other_task_is_refused(
    reference: Path, recipe: Recipe, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option = {"detection": ("--masks", "x"), "segmentation": ("--least", "0.2")}[name]
    line = refused(capsys, "predict", reference, val_images(recipe)[0], "--device", "cpu", *option)
    assert f"{option[0]} is of " in line
    assert not Path("x").exists()
