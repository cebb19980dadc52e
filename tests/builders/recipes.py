"""Recipes that train in seconds, as values and as command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag import recipes
from trickbag.models.config import model_config
from trickbag.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.tricks.trick import Trick

__all__ = ["bare_recipe", "study_arguments", "study_recipe", "tiny_recipe", "train_arguments"]

QUICK = {
    "data.image_size": "16",
    "data.workers": "0",
    "training.batch_size": "8",
    "training.device": "cpu",
    "training.threads": "1",
}
THIN = {"model.width_factor": "0.25"}
STUDIED = ("warmup", "label_smoothing", "mixup")


def with_settings(recipe: Recipe, settings: dict[str, str]) -> Recipe:
    """Set paths such as `training.lr`; in a name of a Python argument `__` stands for the dot."""
    for path, value in settings.items():
        recipe = recipe.set(path.replace("__", "."), value)
    return recipe


def tiny_recipe(source: Path | str, epochs: int = 4, **settings: str) -> Recipe:
    """`small` with a thin network at 16 px: well below a second an epoch on 48 pictures."""
    quick = QUICK | THIN | {"training.epochs": str(epochs)}
    return with_settings(recipes.small(data=str(source)), quick | settings)


def bare_recipe(
    source: Path | str, *tricks: Trick, model: str = "timm:test_resnet", **settings: str
) -> Recipe:
    """A recipe of a network, by name, and these tricks alone, at 16 px."""
    recipe = Recipe(name="bare", model=model_config(model), tricks=tricks)
    return with_settings(recipe, {"data.source": str(source)} | QUICK | settings)


def study_recipe(source: Path | str, **settings: str) -> Recipe:
    """`tiny_recipe` for one epoch, with three of its tricks.

    The network is thin: a tenth of the work. It has no name, by which another could join it; where
    one shall, set `model__width_factor="1"`.
    """
    return tiny_recipe(source, epochs=1, **settings).only(*STUDIED)


def train_arguments(source: Path, out: Path, epochs: int = 4) -> list[str]:
    """The command line that trains `tiny_recipe(source, epochs)`."""
    return ["train", *_options(source, out, epochs), *_thin()]


def study_arguments(source: Path, out: Path, *more: str, epochs: int = 1) -> list[str]:
    """The command line of a study of `study_recipe`."""
    left_out = [name for name in recipes.small().trick_names if name not in STUDIED]
    without = [word for name in left_out for word in ("--without", name)]
    return ["study", *_options(source, out, epochs), *_thin(), *without, *more]


def _thin() -> list[str]:
    return [word for path, value in THIN.items() for word in ("--set", f"{path}={value}")]


def _options(source: Path, out: Path, epochs: int) -> list[str]:
    shape = ["--image-size", "16", "--batch-size", "8", "--epochs", str(epochs)]
    machine = ["--device", "cpu", "--set", "training.threads=1", "--set", "data.workers=0"]
    return ["--data", str(source), *shape, *machine, "--out", str(out)]
