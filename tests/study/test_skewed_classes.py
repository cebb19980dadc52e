"""Tricks for skewed classes, judged by what they are for: a study of the mean recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import trickbag as tb
from tests.builders.images import image_folder, shape
from tests.builders.recipes import bare_recipe
from trickbag.study.log import StudyLog

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = {"train": {"cross": 90, "circle": 12}, "val": {"cross": 40, "circle": 20}}


@pytest.fixture
def skewed(tmp_path: Path) -> Path:
    """Drawn shapes, of which one class has few images to train on."""
    for part, counts in SHAPES.items():
        images = {
            kind: [shape(kind, np.random.default_rng((len(part), len(kind), i))) for i in range(n)]
            for kind, n in counts.items()
        }
        image_folder(tmp_path / "shapes" / part, images, ".png")
    return tmp_path / "shapes"


@pytest.mark.slow
def test_tricks_for_rare_classes_raise_the_mean_recall(skewed: Path, tmp_path: Path) -> None:
    recipe = bare_recipe(
        skewed, training__epochs="12", training__lr="0.05", training__batch_size="32"
    )
    study = tb.Study(
        recipe=recipe,
        design=tb.OneAtATime(tricks=("class_weights", "balanced_sampling")),
        seeds=2,
        outcome="balanced_accuracy",
    )
    measured = study.run(out=tmp_path / "study", log=StudyLog())
    assert [effect.label for effect in measured] == ["class_weights", "balanced_sampling"]
    assert all(effect.delta is not None and effect.delta > 20 for effect in measured)
    # The rare class has a third of the validation images: top-1 shows less of it.
    by_label = {(row["label"], row["seed"]): row for row in measured.results}
    gains = {
        name: by_label["+class_weights", 0][name] - by_label["bare", 0][name]
        for name in ("balanced_accuracy", "top1")
    }
    assert gains["balanced_accuracy"] > gains["top1"] > 0
