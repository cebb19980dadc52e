"""The bytes that a run is said to leave, against the files that it writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.recipes import bare_recipe, tiny_recipe
from trickbag.data.dataset import prepare
from trickbag.models.config import model_config
from trickbag.models.zoo import build_network
from trickbag.recipe import Recipe
from trickbag.train.disk import _network_size, run_bytes
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.run_folder import RunFolder
from trickbag.tricks.ema import Ema

NETWORKS = ("resnet18_d", "mobilenet_v1", "timm:test_resnet", "timm:test_vit", "timm:test_nfnet")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_size_of_a_network_is_that_of_its_state(name: str) -> None:
    config = dataclasses.replace(model_config(name), num_classes=7)
    network = build_network(config, seed=0)
    assert _network_size(config) == (
        sum(tensor.nbytes for tensor in network.state_dict().values()),
        len(network.state_dict()),
        sum(parameter.nbytes for parameter in network.parameters()),
        len(list(network.parameters())),
    )


def recipe_of(name: str, source: Path) -> Recipe:
    recipe = tiny_recipe(source, epochs=2)
    return {
        "sgd": recipe,
        "no momentum": recipe.set("training.optimizer.momentum", "0"),
        "adamw": recipe.set("training.optimizer", "adamw"),
        "rmsprop": recipe.set("training.optimizer", "rmsprop"),
        "average": recipe.plus(Ema()),
        "last": recipe.set("training.keep", "last"),
        "vit": bare_recipe(
            source, model="timm:test_vit", training__epochs="1", data__image_size="160"
        ),
    }[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sgd", "no momentum", "adamw", "rmsprop", "average", "last", "vit"]
)
def test_a_run_leaves_what_was_forecast(pictures: Path, tmp_path: Path, name: str) -> None:
    recipe = recipe_of(name, pictures)
    size = run_bytes(recipe, prepare(recipe.data))
    folder = RunFolder(tmp_path / "run")
    tb.fit(recipe, 0, folder.path, log=RunLog())
    checkpoint = folder.checkpoint.stat().st_size
    assert size.checkpoint == pytest.approx(checkpoint, rel=0.05)
    # The last epoch's weights are there where they are not those that are kept.
    each = folder.best.stat().st_size
    files = 2 if recipe.training.keep == "best" else 1
    assert size.weights == pytest.approx(files * each, rel=0.05)
    others = [file for file in folder.path.iterdir() if file not in folder.weights]
    rest = sum(file.stat().st_size for file in others if file != folder.checkpoint)
    assert rest / 2 < size.other < 2 * rest
