"""A micro-batch of one image, of which some batch normalisations see a single value a channel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from tests.builders.images import photo_folder
from tests.builders.marks import long
from tests.builders.recipes import bare_recipe, tiny_recipe
from tests.builders.tasks import TASKS, task_recipe
from tests.models.families import THINNEST
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.models.config import OwnConfig
from trickbag.models.segmentation import build_segmenter
from trickbag.models.task_config import SegmentationConfig
from trickbag.models.zoo import build_network
from trickbag.recipe import Recipe
from trickbag.train.batch_norms import micro_batch, single_value_norms
from trickbag.train.build import build
from trickbag.train.fit import fit
from trickbag.train.plan.resolve import resolve

KERNELS = {name for name in THINNEST if name.startswith("sk")} | {"assemble"}
OWN = [
    pytest.param(name, marks=[] if "basic blocks" in name else pytest.mark.slow)
    for name, entry in THINNEST.items()
    if isinstance(entry.config, OwnConfig)
]


def torch_refuses(network: nn.Module, images: torch.Tensor) -> bool:
    try:
        with torch.no_grad():
            network(images)
    except ValueError as error:
        return "Expected more than 1 value per channel" in str(error)
    return False


def assert_named_is_refused(network: nn.Module, *, by_mean: bool) -> None:
    """Compare with what torch raises, for a large image and one with maps of a pixel."""
    network = network.to("meta").train()
    modes = [module.training for module in network.modules()]
    for size in (64, 12):
        images = torch.empty(1, 3, size, size, device="meta")
        singles = single_value_norms(network, images)
        assert not single_value_norms(network, images.expand(2, -1, -1, -1))
        assert [module.training for module in network.modules()] == modes
        assert all(isinstance(network.get_submodule(name), nn.BatchNorm2d) for name in singles)
        assert bool(singles) == torch_refuses(network, images)
        # Of a large image the mean over a map is the one cause.
        assert bool(singles) == by_mean or size == 12


@pytest.mark.parametrize("name", OWN)
def test_what_is_named_is_what_torch_refuses(name: str) -> None:
    network = build_network(replace(THINNEST[name].config, num_classes=3), seed=0)
    assert_named_is_refused(network, by_mean=name in KERNELS)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("head", ["fcn", long("deeplabv3")])
def test_what_is_named_of_a_segmenter_is_what_torch_refuses(
    name: str, head: Literal["fcn", "deeplabv3"]
) -> None:
    config = THINNEST[name].config
    network = build_segmenter(SegmentationConfig(head=head), config, num_classes=3, seed=0)
    assert_named_is_refused(network, by_mean=name in KERNELS or head == "deeplabv3")


def refused(recipe: Recipe, processes: int = 1, dataset: Dataset | None = None) -> str:
    dataset = dataset or prepare(recipe.data, annotations=recipe.task.annotations)
    plan, _ = resolve(recipe, dataset, 0, processes=processes)
    assert micro_batch(plan) == 1
    with pytest.raises(UserError) as error:
        build(plan, recipe.tricks, dataset)
    text = str(error.value)
    assert "one image at a time" in text
    assert "\n" not in text
    return text


def accepted(recipe: Recipe) -> None:
    dataset = prepare(recipe.data, annotations=recipe.task.annotations)
    plan, _ = resolve(recipe, dataset, 0)
    run, _ = build(plan, recipe.tricks, dataset)
    assert run.network.training
    assert any(p.requires_grad for p in run.network.parameters())


SK = {"model.selective_kernel": "original", "training.batch_size": "1"}


def starts_from(recipe: Recipe, out: Path) -> Recipe:
    """Train a network for a step, and let the recipe start from its weights."""
    fit(recipe.set_all({"training.epochs": "1", "training.batch_size": "6"}), out=out)
    return recipe.set("training.init", str(out))


def test_a_segmenter(tmp_path: Path) -> None:
    recipe = task_recipe("segmentation", TASKS["segmentation"].data(tmp_path / "masks"))
    recipe = recipe.set_all({"training.accumulate": "1", "training.batch_size": "1"})
    accepted(recipe)  # an FCN has no mean over an image
    deep = recipe.set("task.head", "deeplabv3")
    text = refused(deep)
    assert "a batch of 1 comes to" in text
    assert "BatchNorm head.0.convs.4.2 would see" in text
    assert text.endswith("choose --batch-size 2 or more")
    text = refused(deep.set_all({"training.batch_size": "3", "training.accumulate": "3"}))
    assert "a batch of 3 in 3 parts (training.accumulate) comes to" in text
    assert text.endswith("choose --batch-size 6 or more or a smaller training.accumulate")
    text = refused(deep.set("training.batch_size", "2"), processes=2)
    assert "on 2 processes" in text
    assert text.endswith(
        "choose --batch-size 4 or more, fewer processes or --set training.sync_batch_norm=true"
    )
    accepted(deep.set("training.batch_size", "2"))


def test_a_detector_keeps_the_norms_that_it_froze(tmp_path: Path) -> None:
    recipe = task_recipe("detection", TASKS["detection"].data(tmp_path / "boxes")).set_all(SK)
    assert "BatchNorm backbone.network." in refused(recipe)
    accepted(recipe.set("task.backbone_norm", "frozen"))


def test_a_classifier(tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "pictures", {"a": 6, "b": 6})
    recipe = tiny_recipe(source, training__batch_size="1", training__lr="0.001").only()
    text = refused(recipe.set("data.image_size", "8"))
    assert text.endswith("choose --batch-size 2 or more or a larger --image-size")
    accepted(recipe.set("data.image_size", "64"))
    kernels = recipe.set_all({**SK, "data.image_size": "64"})
    assert "--image-size" not in refused(kernels)
    kernels = starts_from(kernels.set("data.image_size", "16"), tmp_path / "first")
    assert "or --set training.batch_norm=frozen" in refused(kernels)
    # Normalisations that stay as they are need no variance.
    accepted(kernels.set("training.freeze", "body"))
    accepted(kernels.set("training.batch_norm", "frozen"))
    # The first epoch of two trains the head alone.
    assert "one value" in refused(kernels.set_all({"training.head_epochs": "1"}))


def test_a_classifier_of_timm(tmp_path: Path) -> None:
    source = photo_folder(tmp_path / "pictures", {"a": 6, "b": 6})
    text = refused(bare_recipe(source, training__batch_size="1"))
    assert "timm:test_resnet cannot be trained on one image" in text
