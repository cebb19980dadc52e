"""Runs that start from weights: what the classifier takes, and what of it is new."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from tests.builders.images import CLASSES, digit_folder
from tests.builders.recipes import bare_recipe, train_arguments
from tests.builders.runs import built
from tests.builders.teachers import teacher_file
from tests.models.families import THINNEST
from tests.models.metadata import metadata_of
from trickbag.cli import main
from trickbag.data.dataset import Dataset
from trickbag.models import pretrained
from trickbag.models.config import ModelConfig, OwnConfig, TimmConfig
from trickbag.models.transfer import head_names
from trickbag.models.weights import load_with_metadata, save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network
from trickbag.recipe import Recipe


def head_of(recipe: Recipe, dataset: Dataset, seed: int = 5) -> tuple[np.ndarray, list[str]]:
    """Return the rows of a built run's classifier, flat, and the texts of the notes on it."""
    run, notes = built(recipe, dataset, seed)
    state = run.network.state_dict()
    weights = [name for name in head_names(run.network, run.plan.model) if name.endswith("weight")]
    rows = [state[name].flatten(1) for name in sorted(weights)]
    return torch.cat(rows, dim=1).numpy(), [n.text for n in notes if "classifier" in n.text]


def with_classes(dataset: Dataset, number: int) -> Dataset:
    """The same images, as if they were data of `number` other classes."""
    names = tuple(f"class {i}" for i in range(number))
    return replace(dataset, classes=names, fingerprint=f"{number} classes")


def test_new_rows_start_at_zero_whatever_the_seed(pictures, dataset, tmp_path):
    file = teacher_file(tmp_path / "w.safetensors")
    recipe = bare_recipe(pictures, training__init=str(file))
    for data in (with_classes(dataset, 3), with_classes(dataset, 10)):
        for seed in (5, 6):
            run, _ = built(recipe, data, seed)
            head = run.network.get_classifier()
            assert head.weight.shape[0] == len(data.classes)
            assert not head.weight.any()
            assert not head.bias.any()
            assert all(p.any() for name, p in run.network.named_parameters() if p.ndim > 2)


def test_a_first_step_from_zero_rows_changes_the_head_alone(pictures, dataset, tmp_path):
    file = teacher_file(tmp_path / "w.safetensors")
    recipe = bare_recipe(pictures, training__init=str(file), training__weight_decay="0")
    run, _ = built(recipe, with_classes(dataset, 3))
    run.begin_epoch(0)
    loss = run.network(torch.randn(8, 3, 16, 16)).logsumexp(1).mean()
    assert loss.item() == pytest.approx(np.log(3), abs=1e-6)
    loss.backward()
    for name, parameter in run.network.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.any() == name.startswith("fc."), name


@pytest.mark.slow
@pytest.mark.parametrize("family", ["basic blocks", "assemble", "se mobilenet"])
def test_new_rows_of_our_networks_start_at_zero(pictures, dataset, tmp_path, family):
    config = replace(THINNEST[family].config, num_classes=3)
    assert isinstance(config, OwnConfig)
    run, _ = built(own_recipe(pictures, config), dataset)
    save_weights(run.network, tmp_path / "w.safetensors", metadata_of(run.plan.model))
    entered = own_recipe(pictures, config, training__init=str(tmp_path / "w.safetensors"))
    for number in (3, 10):
        head, _ = head_of(entered, with_classes(dataset, number))
        assert head.shape[0] == number
        assert not head.any()


def own_recipe(source: Path, config: ModelConfig, **settings: str) -> Recipe:
    """A recipe of a network at 33 px, a size that all of ours take."""
    recipe = bare_recipe(source, **{"data__image_size": "33"} | settings)
    return recipe.replace(model=replace(config, num_classes=0))


def test_a_run_from_the_beginning_keeps_its_values(pictures, dataset):
    network = build_network(TimmConfig(name="test_resnet", num_classes=3), seed=5)
    head, notes = head_of(bare_recipe(pictures), dataset)
    assert np.array_equal(head, network.get_classifier().weight.detach().numpy())
    assert notes == []


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (CLASSES, "the same 3 classes in the same order"),
        (CLASSES[::-1], "the same 3 classes in another order"),
        (("x", CLASSES[1]), "takes the rows of 1 of its 3 classes"),
        (("x", "y", "z"), "none of the 3 classes"),
    ],
)
def test_a_run_takes_the_rows_of_its_classes(pictures, dataset, tmp_path, classes, says):
    file = teacher_file(tmp_path / "w.safetensors", classes=classes)
    head, (text,) = head_of(bare_recipe(pictures, training__init=str(file)), dataset)
    assert says in text
    given = load_file(file)["fc.weight"].numpy()
    for i, name in enumerate(dataset.classes):
        same = [np.array_equal(head[i], row) for row in given]
        assert same == [name == other for other in classes]


def test_the_recipe_can_keep_or_leave_the_classifier(pictures, dataset, tmp_path):
    named = teacher_file(tmp_path / "w.safetensors", classes=("x", "y", "z"))
    given = load_file(named)
    save_file(given, tmp_path / "unnamed.safetensors")
    for file in (named, tmp_path / "unnamed.safetensors"):
        recipe = bare_recipe(pictures, training__init=str(file))
        assert not np.array_equal(head_of(recipe, dataset)[0], given["fc.weight"])
        kept, (text,) = head_of(recipe.set("training.init_head", "keep"), dataset)
        assert np.array_equal(kept, given["fc.weight"])
        assert "training.init_head=keep" in text
        new, (text,) = head_of(recipe.set("training.init_head", "new"), dataset)
        assert not np.array_equal(new, given["fc.weight"])
        assert "training.init_head=new" in text
    _, notes = built(bare_recipe(pictures, training__init_head="new"), dataset)
    assert "training.init_head=new is ignored: no weights are loaded" in [n.text for n in notes]


def test_published_weights_have_the_classes_of_imagenet(pictures, dataset, monkeypatch):
    create, donors = timm.create_model, []

    def published(name: str, *, pretrained: bool = False, **options: Any) -> Any:
        network = create(name, **options)
        if pretrained:
            donors.append(network)
        return network

    monkeypatch.setattr(timm, "create_model", published)
    monkeypatch.setattr(pretrained, "_reach_hub", lambda name: None)
    recipe = bare_recipe(pictures, training__pretrained="true")
    mixed = replace(dataset, classes=("n02102040", "cat", "n01440764"))
    head, (text,) = head_of(recipe, mixed)
    weight = donors[0].get_classifier().weight.detach().numpy()
    assert np.array_equal(head[[0, 2]], weight[[217, 0]])  # springer spaniel, tench
    assert not (head[1] == weight).all(1).any()
    assert "takes the rows of 2 of its 3 classes from timm's test_resnet" in text
    assert "1 start anew (cat)" in text
    head, (text,) = head_of(recipe, dataset)
    assert "none of the 3 classes" in text
    assert not (head[:, None] == weight).all(2).any()


# Whole runs

NAMES = {str(i): i for i in range(10)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Digits, a run that was trained on them, and its accuracy."""
    root = tmp_path_factory.mktemp("init")
    data = digit_folder(root / "digits", NAMES, 40)
    assert main(train_arguments(data, root / "run", epochs=8)) == 0
    top1 = json.loads((root / "run" / "result.json").read_text())["metrics"]["top1"]
    assert top1 > 80
    return SimpleNamespace(root=root, data=data, run=root / "run", top1=top1)


def top1_from(trained: SimpleNamespace, init: Path, data: Path, out: Path) -> tuple[float, Path]:
    """Train an epoch whose steps change nothing; return the accuracy."""
    still = ["--init", str(init), "--set", "training.lr=1e-9"]
    assert main([*train_arguments(data, out, epochs=1), *still]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["notes"]
    return result["metrics"]["top1"], out


@pytest.mark.slow
def test_accuracy_survives_another_order_of_the_classes(trained, tmp_path):
    network, metadata = load_with_metadata(trained.run)
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    with torch.no_grad():
        for parameter in network.get_classifier().parameters():
            parameter.copy_(parameter[order].clone())
    metadata = replace(metadata, classes=tuple(metadata.classes[i] for i in order))
    save_weights(network, tmp_path / "w.safetensors", metadata)
    for i, init in enumerate((trained.run, tmp_path / "w.safetensors")):
        top1, out = top1_from(trained, init, trained.data, tmp_path / f"run{i}")
        assert abs(top1 - trained.top1) < 8  # the running statistics go on
        assert WeightsMetadata.read(out).classes == tuple(NAMES)
    # Without the initial weights a finished run is still whole.
    renamed = digit_folder(tmp_path / "renamed", {f"digit {i}": i for i in range(10)}, 40)
    _, out = top1_from(trained, trained.run, renamed, tmp_path / "anew")
    # The classifier is learned anew, from zero: its loss is still that of equal probabilities.
    loss = json.loads((out / "result.json").read_text())["metrics"]["loss"]
    assert loss > math.log(10) - 0.05
    assert WeightsMetadata.read(out).classes == tuple(f"digit {i}" for i in range(10))


@pytest.mark.slow
def test_accuracy_survives_fewer_and_more_classes(trained, tmp_path):
    few = digit_folder(tmp_path / "few", {"7": 7, "2": 2, "5": 5}, 40)
    assert top1_from(trained, trained.run, few, tmp_path / "fewer")[0] > 80
    more = digit_folder(tmp_path / "more", {**NAMES, "a zero": 0, "z": 1}, 40)
    top1, out = top1_from(trained, trained.run, more, tmp_path / "larger")
    assert top1 > 55  # of twelve classes ten are known
    assert len(WeightsMetadata.read(out).classes) == 12
