"""A run of a network of timm with parts put into it: it trains, and its folder rebuilds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.builders.recipes import tiny_recipe
from trickbag.data.dataset import prepare
from trickbag.evaluate import Predictor, Trained
from trickbag.models.config import model_config
from trickbag.models.layers.anti_alias import BlurPool2d
from trickbag.models.layers.squeeze_excite import SqueezeExcite2d
from trickbag.recipe import Recipe
from trickbag.recipes import load
from trickbag.train.fit import fit
from trickbag.tricks.activation import Activation
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.squeeze_excite import SqueezeExcite
from trickbag.tricks.zero_init_residual import ZeroInitResidual

TRICKS = (SqueezeExcite(reduction=4), AntiAlias(), Activation(), ZeroInitResidual())


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe: Recipe = tiny_recipe(pictures, epochs=1).only().on("timm:mobilenetv2_050").plus(*TRICKS)
    recipe = recipe.set("training.batch_size", "16").set("schedule.warmup_epochs", "0")
    out = tmp_path_factory.mktemp("timm") / "run"
    fit(recipe, seed=0, out=out)
    return out


@pytest.mark.slow
def test_the_folder_says_what_was_put_in(run: Path) -> None:
    model = json.loads((run / "recipe.json").read_text())["resolved"]["model"]
    assert model["name"] == "mobilenetv2_050"
    assert model["attention"]["kind"] == "squeeze_excite"
    assert model["anti_alias"]["kind"] == "blur"
    assert model["activation"]["kind"] == "silu"
    assert not [
        w for w in json.loads((run / "result.json").read_text())["warnings"] if "no effect" in w
    ]


def test_the_folder_rebuilds_the_network(run: Path) -> None:
    trained = Trained.load(run, "cpu")
    modules = list(trained.network.modules())
    assert sum(isinstance(module, SqueezeExcite2d) for module in modules) == 10
    assert sum(isinstance(module, BlurPool2d) for module in modules) == 4
    assert sum(isinstance(module, torch.nn.SiLU) for module in modules) == 35
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    part = prepare(load(str(run)).data).val
    paths = [part.path(i) for i in range(len(part))]  # type: ignore[attr-defined]
    predictions = Predictor.load(run, device="cpu").predict(paths)
    right = [
        prediction.label == trained.classes[label]
        for prediction, label in zip(predictions, part.labels, strict=True)
    ]
    assert 100 * sum(right) / len(right) == pytest.approx(metrics["best_top1"])


def test_the_trial_is_another_without_each_part() -> None:
    full = Recipe(model=model_config("timm:mobilenetv2_050"), tricks=TRICKS)
    assert len({full.id, *(full.without(name).id for name in full.trick_names)}) == 1 + len(TRICKS)
