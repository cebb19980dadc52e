"""Runs of seconds for every task but classification: their data and settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.builders.boxes import voc_folder
from tests.builders.masks import grey_png, mask_folder
from trickbag import recipes
from trickbag.recipe import Recipe

NAMES = tuple(f"image{i}" for i in range(8))


def boxes(root: Path) -> Path:
    objects = {
        name: [("cell", (4.0 + i, 6.0, 20.0 + i, 22.0)), ("dot", (1.0, 1.0, 9.0, 8.0))]
        for i, name in enumerate(NAMES)
    }
    return voc_folder(root, {"train": NAMES[:6], "val": NAMES[6:]}, objects)


def masks(root: Path) -> Path:
    return mask_folder(root, {"train": NAMES[:6], "val": NAMES[6:]})


def without_cells(root: Path) -> None:
    """Take the objects of the first class out of a folder, so that the other one becomes it."""
    for file in (root / "Annotations").glob("*.xml"):
        kept = re.sub(
            r"<object>(?:(?!</object>).)*?cell.*?</object>", "", file.read_text(), flags=re.S
        )
        file.write_text(kept)


def without_sky(root: Path) -> None:
    """Take the first class out of masks: its pixels become those of none."""
    (root / "classes.txt").write_text("road\ncar\nvoid\n")
    for file in (root / "masks").glob("*.png"):
        numbers = np.asarray(Image.open(file))
        file.write_bytes(grey_png(np.where(numbers == 0, 2, numbers - 1).astype(np.uint8)))


class Row(NamedTuple):
    """A task: its data, the settings of a run of seconds, its score, and its predictions.

    `with_fewer_classes` takes the first class out of the data.
    """

    data: Callable[[Path], Path]
    settings: dict[str, str]
    score: str
    predictions: str
    with_fewer_classes: Callable[[Path], None]


QUICK = {
    "data.workers": "0",
    "training.epochs": "2",
    "training.batch_size": "3",
    "training.lr": "0.002",
    "training.device": "cpu",
    "training.threads": "1",
    "training.precision": "float32",
}

TASKS = {
    "detection": Row(
        boxes,
        {
            "data.image_size": "32x48",
            "task.channels": "8",
            "task.head_width": "16",
            "task.anchor_samples": "16",
            "task.proposal_samples": "8",
            "task.train_proposals": "20",
            "task.eval_proposals": "10",
        },
        "map50",
        "predictions.json",
        without_cells,
    ),
    "segmentation": Row(
        masks,
        {"data.image_size": "32x48", "training.accumulate": "2", "training.batch_size": "2"},
        "miou",
        "pixel_scores.csv",
        without_sky,
    ),
}


def task_recipe(name: str, source: Path) -> Recipe:
    """Return the recipe of a run of seconds."""
    thin = recipes.RECIPES[name](data="x", model="resnet18_d").without("mixed_precision")
    settings = {"data.source": str(source), "model.width_factor": "0.125", **QUICK}
    return thin.set_all(settings | TASKS[name].settings)
