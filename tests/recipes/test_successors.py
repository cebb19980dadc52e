"""The successors' recipes: their published constants, and that each trains, tiny."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.runs import assert_same_run
from tests.builders.teachers import passing_teacher
from tests.train.test_fit import SignalAt
from trickbag import recipes
from trickbag.cli import main
from trickbag.errors import Stopped, UserError
from trickbag.models.config import ResNetConfig
from trickbag.recipe import Recipe
from trickbag.train.fit import fit

if TYPE_CHECKING:
    from pathlib import Path

SUCCESSORS = ("rsb_a1", "rsb_a2", "rsb_a3", "torchvision_2021", "resnet_rs", "patient_teacher")

# From table 2 of arXiv 2110.00476.
TABLE_2: dict[str, dict[str, Any]] = {
    "rsb_a1": {"epochs": 600, "lr": 5e-3, "weight_decay": 0.01, "smoothing": 0.1, "depth": 0.05},
    "rsb_a2": {"epochs": 300, "lr": 5e-3, "weight_decay": 0.02, "smoothing": None, "depth": 0.05},
    "rsb_a3": {"epochs": 100, "lr": 8e-3, "weight_decay": 0.02, "smoothing": None, "depth": None},
}
REST: dict[str, tuple[int | None, int, float, int]] = {
    "rsb_a1": (3, 7, 0.2, 224),
    "rsb_a2": (3, 7, 0.1, 224),
    "rsb_a3": (None, 6, 0.1, 160),
}
"""Repeats, RandAugment's magnitude, alpha of mixup, size of training images."""


def setting(recipe: Recipe, path: str) -> Any:
    """Return a setting of one of the recipe's tricks; None without the trick."""
    name, _, field = path.partition(".")
    trick = next((trick for trick in recipe.tricks if trick.name == name), None)
    return None if trick is None else getattr(trick, field)


@pytest.mark.parametrize("name", TABLE_2)
def test_strikes_back_is_table_2(name: str) -> None:
    recipe, row = recipes.RECIPES[name](), TABLE_2[name]
    training, data = recipe.training, recipe.data
    assert (training.epochs, training.lr, training.weight_decay, training.batch_size) == (
        *(row[key] for key in ("epochs", "lr", "weight_decay")),
        2048,
    )
    assert (training.optimizer.kind, training.clip_norm) == ("timm", None)
    assert getattr(training.optimizer, "name", "") == "lamb"
    assert setting(recipe, "label_smoothing.smoothing") == row["smoothing"]
    assert setting(recipe, "stochastic_depth.drop_prob") == row["depth"]
    assert (
        setting(recipe, "repeated_augmentation.times"),
        setting(recipe, "rand_augment.magnitude"),
        setting(recipe, "mixup_cutmix.mixup_alpha"),
        data.default_size,
    ) == REST[name]
    assert setting(recipe, "mixup_cutmix.cutmix_alpha") == 1
    assert setting(recipe, "bce.reduction") == "mean"
    assert setting(recipe, "warmup.epochs") == 5
    assert data.default_size is not None
    assert data.default_size * data.eval_ratio == 224
    assert data.eval_crop == 0.95
    assert not {"random_erasing", "color_jitter", "ema", "dropout"} & {*recipe.trick_names}
    assert isinstance(recipe.model, ResNetConfig)
    assert (recipe.model.depth, recipe.model.branch_stride, recipe.model.stem) == (
        *(50, "middle"),
        "imagenet",
    )


def test_torchvisions_is_its_command() -> None:
    recipe = recipes.torchvision_2021()
    assert (recipe.training.epochs, recipe.training.weight_decay) == (600, 2e-5)
    assert recipe.training.lr * recipe.training.batch_size / 256 == 0.5
    assert setting(recipe, "no_bias_decay.free") == "norm"
    assert setting(recipe, "random_erasing.prob") == setting(recipe, "label_smoothing.smoothing")
    assert setting(recipe, "repeated_augmentation.times") == 4
    data = recipe.data
    assert data.default_size is not None
    assert data.eval_crop is not None
    sizes = data.default_size, data.default_size * data.eval_ratio, 224 / data.eval_crop
    assert sizes == pytest.approx((176, 224, 232))
    # `ExponentialMovingAverage(decay=1 - min(1, (1 - 0.99998) * 1024 * 32 / 600))`.
    assert setting(recipe, "ema.every") == 32
    assert 1 - setting(recipe, "ema.decay") == pytest.approx(2e-5 * 1024 * 32 / 600)


def test_resnet_rs_is_the_authors_configuration() -> None:
    recipe = recipes.resnet_rs()
    training = recipe.training
    steps = training.epochs * 1_281_167 / training.batch_size
    assert steps == pytest.approx(109_475, abs=1)
    assert (training.lr, training.weight_decay) == (0.1, 4e-5)
    assert setting(recipe, "dropout.drop_prob") == 0.25
    assert setting(recipe, "ema.decay") == 0.9999
    assert recipe.network == "timm:resnetrs50"
    assert "stochastic_depth" not in recipe.trick_names


def test_the_patient_teacher_is_the_authors_configuration() -> None:
    recipe = recipes.patient_teacher(teacher="runs/teacher")
    training = recipe.training
    assert training.lr * training.weight_decay == pytest.approx(3e-4)
    steps = setting(recipe, "warmup.epochs") * 0.98 * 1_281_167 / training.batch_size
    assert steps == pytest.approx(5000, rel=0.01)
    assert (training.clip_norm, setting(recipe, "mixup.alpha")) == (1.0, 1.0)
    assert setting(recipe, "distillation.teacher") == ("runs/teacher",)
    trick = next(trick for trick in recipe.tricks if trick.name == "distillation")
    assert trick.ignores_labels
    assert setting(recipe, "distillation.view") == "online"


def tiny(name: str, pictures: Path) -> Recipe:
    """Return a recipe as it ships, but for its length and its network."""
    settings = {
        "model": "resnet50",
        "model.width_factor": "0.125",
        "data.source": str(pictures),
        "data.image_size": "16",
        "data.workers": "0",
        "training.epochs": "2",
        "training.batch_size": "12",
        "training.device": "cpu",
        "training.threads": "1",
    }
    if name == "patient_teacher":
        settings["tricks.distillation.teacher"] = str(passing_teacher())
    return recipes.RECIPES[name](model="resnet50_d").set_all(settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", SUCCESSORS)
def test_each_trains(name: str, pictures: Path, tmp_path: Path) -> None:
    result = fit(tiny(name, pictures), seed=0, out=tmp_path / "run")
    assert result.error is None
    assert result.metrics["loss"] is not None
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    without_effect = {
        note["trick"] for note in stored["note_values"] if note["kind"] == "no_effect"
    }
    # The warm-up fills the two epochs, and not every processor has a reduced precision.
    assert without_effect <= {"cosine_decay", "mixed_precision"}, stored["notes"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rsb_a2", "torchvision_2021"])
def test_a_resumed_run_is_that_of_an_uninterrupted_one(
    name: str, pictures: Path, tmp_path: Path
) -> None:
    # LAMB; repeated images in the middle of an epoch; an average between two of its updates.
    recipe = tiny(name, pictures)
    fit(recipe, seed=3, out=tmp_path / "reference")
    with pytest.raises(Stopped):
        fit(recipe, seed=3, out=tmp_path / "run", log=SignalAt(4, signal.SIGTERM))
    fit(recipe, seed=3, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "reference")


@pytest.mark.slow
def test_they_are_arms_of_a_study(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", "small", "--data", str(pictures), "--against", "rsb_a2"]
    options = ["--model", "resnet18", "--image-size", "16", "--epochs", "1", "--seeds", "2"]
    assert main([*command, *options, "--dry-run", "--out", str(tmp_path / "study")]) == 0
    assert "rsb_a2" in capsys.readouterr().out


def test_a_data_config_that_is_given_stays() -> None:
    given = recipes.small().data
    for name in SUCCESSORS:
        assert recipes.RECIPES[name](data=given).data == given
    with pytest.raises(UserError):
        recipes.rsb_a1(model="resnet51")
