"""Detectors and segmenters learn, on a CPU: on drawings, and on photos of blood and of streets."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.builders.drawings import drawn_boxes, drawn_masks
from tests.builders.marks import long
from trickbag import recipes
from trickbag.data.dataset import prepare
from trickbag.recipe import Recipe
from trickbag.study.constant_answers import constant_answers
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

SHARED = Path(__file__).parents[3] / "shared" / "data"

SMALL = {
    "model.width_factor": "0.25",
    "data.workers": "0",
    "training.batch_size": "8",
    "training.device": "cpu",
    "training.threads": "1",
}
DETECTOR = {
    "task.channels": "32",
    "task.head_width": "64",
    "task.anchor_scale": "0.5",
    "task.train_proposals": "64",
    "task.proposal_samples": "32",
    "task.eval_proposals": "50",
}


def small(task: str, source: Path, **settings: str) -> Recipe:
    """A recipe of a task with a thin network, for a CPU."""
    recipe = recipes.RECIPES[task](data=str(source), model="resnet18_d")
    paths = {path.replace("__", "."): value for path, value in settings.items()}
    return recipe.without("mixed_precision").set_all({**SMALL, **paths})


def unzipped(name: str, folder: Path) -> Path:
    archive = SHARED / f"{name}.zip"
    if not archive.is_file():
        pytest.skip(f"needs {name}.zip of the shared data sets")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder / name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, long(1)])
def test_a_detector_learns_drawings(tmp_path: Path, seed: int) -> None:
    source = drawn_boxes(tmp_path / "drawings", train=64, val=24)
    settings = {"data.image_size": "64x96", "training.epochs": "18", "training.lr": "0.02"}
    recipe = small("detection", source).set_all({**DETECTOR, **settings})
    result = fit(recipe, seed, tmp_path / "run", log=RunLog())
    # Twelve boxes of another drawing reach about 2 %.
    assert result.metrics["map50"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, long(1)])
def test_a_segmenter_learns_drawings(tmp_path: Path, seed: int) -> None:
    source = drawn_masks(tmp_path / "drawings", train=64, val=24)
    settings = {"data.image_size": "64x96", "training.epochs": "12", "training.lr": "0.05"}
    recipe = small("segmentation", source).set_all(settings)
    result = fit(recipe, seed, tmp_path / "run", log=RunLog())
    dataset = prepare(recipe.data, annotations="masks")
    constant = constant_answers(dataset, recipe)["val"].values
    assert constant["miou"] < 33
    assert result.metrics["miou"] > 50
    assert result.metrics["pixel_accuracy"] > constant["pixel_accuracy"] + 3


@pytest.mark.slow
@pytest.mark.data
def test_a_detector_learns_blood_cells(tmp_path: Path) -> None:
    source = unzipped("bccd", tmp_path)
    settings = {"data.image_size": "96x128", "training.epochs": "5", "training.lr": "0.02"}
    recipe = small("detection", source).set_all({**DETECTOR, **settings})
    result = fit(recipe, 0, tmp_path / "run", log=RunLog())
    assert result.metrics["map50"] > 20


@pytest.mark.slow
@pytest.mark.data
def test_a_segmenter_learns_streets(tmp_path: Path) -> None:
    source = unzipped("camvid-small", tmp_path)
    settings = {"data.image_size": "64x96", "training.epochs": "4", "training.lr": "0.05"}
    recipe = small("segmentation", source).set_all(settings)
    result = fit(recipe, 0, tmp_path / "run", log=RunLog())
    constant = constant_answers(prepare(recipe.data, annotations="masks"), recipe)["val"].values
    assert result.metrics["miou"] > 2.5 * constant["miou"]
    assert result.metrics["pixel_accuracy"] > constant["pixel_accuracy"] + 20
