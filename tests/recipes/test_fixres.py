"""The recipe `fixres`: the classifier of a trained network, at the size of the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.recipes import tiny_recipe
from trickbag import recipes
from trickbag.data.loading.crops import random_crop_box
from trickbag.evaluate.trained import Trained
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog


@pytest.mark.parametrize(("width", "height"), [(80, 80), (80, 60), (61, 90)])
def test_training_sees_the_largest_central_part(width: int, height: int) -> None:
    data = recipes.fixres().data
    rng, side = np.random.default_rng(0), min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    for _ in range(20):
        box = random_crop_box(rng, width, height, data.crop_area, data.crop_ratio)
        assert box == (left, top, left + side, top + side)
    assert data.eval_crop == 1


@pytest.mark.slow
def test_the_classifier_alone_is_trained(pictures: Path, tmp_path: Path) -> None:
    before = tiny_recipe(pictures, epochs=1)
    fit(before, 0, tmp_path / "before", log=RunLog())
    model = Trained.load(tmp_path / "before").model
    recipe = recipes.fixres(data=str(pictures), model=model).set_all(
        {
            "training.init": str(tmp_path / "before"),
            "training.pretrained": "false",
            "training.epochs": "1",
            "training.device": "cpu",
            "training.threads": "1",
            "data.image_size": "24",
            "data.workers": "0",
        }
    )
    result = fit(recipe, 0, tmp_path / "fixed", log=RunLog())
    first, last = (
        Trained.load(tmp_path / name).network.state_dict() for name in ("before", "fixed")
    )
    changed = {name for name, value in last.items() if not torch.equal(value, first[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert Trained.load(tmp_path / "fixed").preprocessing.image_size == 24
    assert any("training.freeze=body" in text for text in result.warnings)
