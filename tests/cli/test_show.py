"""`trickbag show`: the recipe, what it comes to, its picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.runs import QUICK
from trickbag import recipes
from trickbag.recipes import RECIPES
from trickbag.train.plan.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path


Call = Any


@pytest.mark.parametrize("name", list(RECIPES))
def test_what_show_prints_is_the_recipe(call: Call, tmp_path: Path, name: str) -> None:
    code, out, err = call("show", name, "--image-size", "32", "--set", "training.lr=1e-5")
    assert (code, err) == (0, "")
    (tmp_path / "mine.yaml").write_text(out)
    expected = RECIPES[name]().set("data.image_size", "32").set("training.lr", "1e-5")
    assert recipes.load(str(tmp_path / "mine.yaml")) == expected


def test_show_says_what_the_recipe_comes_to(call: Call, photos: Path) -> None:
    code, out, _ = call("show", "--data", photos, *QUICK, "--epochs", "4")
    assert code == 0
    for text in (
        "30 train, 6 val; 3 classes",
        "16 px",
        "stem deep_s1",
        "steps: 4 (4 epochs of 1)",
        "cosine decay",
    ):
        assert text in out, text


def test_show_json(call: Call, photos: Path) -> None:
    code, out, _ = call("show", "--json", "--data", photos, *QUICK)
    assert code == 0
    data = json.loads(out)
    # Of the recipe as it ships, on data that are named with it.
    assert [result["data"] for result in data.pop("stated")] == ["digits", "imagenette-128"]
    resolved = data.pop("resolved")
    plan = Plan.from_stored(resolved)
    assert plan.to_stored() == resolved
    assert resolved["image_size"] == resolved["data"]["image_size"] == 16
    assert plan.model.num_classes == 3
    recipe = (
        recipes.small(data=str(photos))
        .without("mixup")
        .set("data.image_size", "16")
        .set("data.workers", "0")
        .set("model.width_factor", "0.25")
    )
    assert {key: value for key, value in data.items() if "note" not in key} == recipe.set(
        "training.batch_size", "16"
    ).to_dict()


def test_show_without_the_recipes_data(call: Call, tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text(f"data: {{source: {tmp_path}/gone}}\nmodel: resnet18\n")
    code, out, err = call("show", tmp_path / "gone.yaml")
    assert (code, err) == (0, "")
    assert "not settled, for want of the data" in out
    assert "depth: 18" in out
    assert json.loads(call("show", tmp_path / "gone.yaml", "--json")[1])["resolved"] is None


def test_show_draws(call: Call, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "drawing.png"
    code, out, err = call("show", "--data", photos, *QUICK, "--picture", path)
    assert code == 0
    assert str(path) not in out  # what is printed stays a recipe
    assert str(path) in err
    with Image.open(path) as picture:
        picture.load()
        assert picture.width > 600
        assert np.asarray(picture.convert("L")).std() > 10
    before = path.read_bytes()
    call("show", "--data", photos, *QUICK, "--picture", path)
    assert path.read_bytes() == before
