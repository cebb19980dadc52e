"""The recipes by name, and recipes from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from trickbag import recipes
from trickbag.errors import UserError
from trickbag.models.config import ResNetConfig
from trickbag.recipe import Recipe


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_named_recipes_are_whole_and_survive_json_and_yaml(name: str, tmp_path: Path) -> None:
    recipe = recipes.RECIPES[name](data="photos", model="resnet50_d")
    assert recipe.name == name
    assert recipe.data.source == "photos"
    assert recipes.RECIPES[name].__doc__
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False))
    assert recipes.load(str(tmp_path / "mine.yaml")) == recipe
    assert Recipe.from_dict(recipe.to_dict()).trick_names == recipe.trick_names


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "+1.e-3"])
def test_yaml_takes_numbers_as_people_write_them(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"training: {{lr: {text}}}\n")
    assert recipes.load(str(tmp_path / "mine.yaml")).training.lr == 0.001


def test_small_is_what_the_readme_says() -> None:
    assert recipes.small().trick_names == (
        "linear_scaling",
        "warmup",
        "zero_init_residual",
        "no_bias_decay",
        "mixed_precision",
        "resnet_d",
        "cosine_decay",
        "label_smoothing",
        "mixup",
    )


def test_bag_of_tricks_is_the_papers() -> None:
    recipe = recipes.bag_of_tricks()
    assert isinstance(recipe.model, ResNetConfig)
    assert (recipe.training.epochs, recipe.training.batch_size, recipe.training.lr) == (
        200,
        1024,
        0.1,
    )
    assert recipe.training.weight_decay == 1e-4
    assert (recipe.model.depth, recipe.model.init) == (50, "xavier")
    assert recipe.data.crop_area == (0.08, 1.0)


def test_a_recipe_from_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import trickbag as tb\ndef half():\n    return tb.recipes.small().without('mixup')\ndef "
        "broken():\n    1 / 0\n"
    )
    assert recipes.load(f"{file}:half") == recipes.small().without("mixup")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        recipes.load(f"{file}:broken")
    with pytest.raises(UserError, match="no function 'other'; it has: broken, half"):
        recipes.load(f"{file}:other")
    with pytest.raises(UserError, match="no file"):
        recipes.load("nowhere.py:half")
