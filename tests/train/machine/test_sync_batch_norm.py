"""Layers that are synchronised, and settings and notes about it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.builders.recipes import bare_recipe, tiny_recipe
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import RunFailed, UserError
from trickbag.models.config import ResNetConfig, model_config
from trickbag.models.zoo import build_network
from trickbag.recipe import Recipe
from trickbag.train.machine.sync_batch_norm import synchronize
from trickbag.train.plan.processes import divided_anew
from trickbag.train.plan.resolve import resolve


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def alone(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(0)


@pytest.mark.parametrize("name", ["resnet18_d", "timm:test_efficientnet"])
def test_a_network_of_one_process_computes_as_before(name: str) -> None:
    config = replace(model_config(name), num_classes=5)
    if isinstance(config, ResNetConfig):
        config = replace(config, width_factor=0.25)
    network = build_network(config, seed=0).double().train()
    other = copy.deepcopy(network)
    synchronize(other, alone)
    # What is looked for by type or name is still there.
    assert [type(module).__name__ for module in network.modules()] == [
        type(module).__name__ for module in other.modules()
    ]
    assert any(isinstance(module, nn.BatchNorm2d) for module in other.modules())
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    outputs = [each(images) for each in (network, other)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-9, atol=1e-9)
    for output in outputs:
        output.square().sum().backward()
    gradients = zip(network.parameters(), other.parameters(), strict=True)
    for plain, shared in gradients:
        assert plain.grad is not None
        assert shared.grad is not None
        torch.testing.assert_close(plain.grad, shared.grad, rtol=1e-7, atol=1e-7)
    state = other.state_dict()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=1e-9, atol=1e-9)
    # In evaluation, and with frozen statistics, nothing is exchanged.
    other.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(images), other.eval()(images))


def test_a_layer_that_normalises_by_itself_is_refused() -> None:
    class Own(nn.BatchNorm1d):
        def forward(self, rows: Tensor) -> Tensor:
            return rows - rows.mean(0)

    network = nn.Sequential(Own(2))
    synchronize(network, alone)
    with pytest.raises(RunFailed, match=r"Own normalises 0 times .*sync_batch_norm=false"):
        network(torch.ones(2, 2))


def synced(pictures: Path, **settings: str) -> Recipe:
    return tiny_recipe(pictures, training__sync_batch_norm="true", **settings)


def reasons(recipe: Recipe, dataset: Dataset, processes: int) -> list[str]:
    _, notes = resolve(recipe, dataset, 0, processes=processes)
    return [note.text for note in notes if "sync_batch_norm" in note.text]


def test_it_says_where_it_changes_nothing(pictures: Path, dataset: Dataset) -> None:
    text = "training.sync_batch_norm changes nothing: "
    assert reasons(synced(pictures), dataset, 1) == [f"{text}one process trains the run"]
    assert reasons(synced(pictures), dataset, 2) == []
    frozen = synced(pictures, training__batch_norm="frozen", training__pretrained="true")
    (reason,) = reasons(frozen, dataset, 2)
    assert "training.batch_norm=frozen takes no statistics" in reason
    bare = bare_recipe(
        pictures,
        model="timm:convnext_atto",
        data__image_size="32",
        training__sync_batch_norm="true",
    )
    (reason,) = reasons(bare, dataset, 2)
    assert "no normalisation of the network takes statistics" in reason


def test_no_step_is_compiled_that_waits_for_other_processes(
    pictures: Path, dataset: Dataset
) -> None:
    recipe = synced(pictures, training__compile="on")
    assert resolve(recipe, dataset, 0)[0].compile
    with pytest.raises(UserError, match=r"sync_batch_norm = True: .* --set training.compile=off"):
        resolve(recipe, dataset, 0, processes=2)
    off, _ = resolve(synced(pictures), dataset, 0, processes=2)
    assert off.training.compile == "off"


def test_a_stored_plan_that_is_divided_anew_compiles_as_its_processes_need(
    pictures: Path, dataset: Dataset
) -> None:
    alone, _ = resolve(synced(pictures), dataset, 0)
    stored: dict[str, Any] = {**alone.to_stored(), "compile": True}
    stored["training"] = {**stored["training"], "compile": "on"}
    two, _ = resolve(synced(pictures), dataset, 0, processes=2)
    divided = divided_anew(stored, two)
    assert (divided["compile"], divided["training"]["compile"]) == (False, "off")
    plain, _ = resolve(tiny_recipe(pictures), dataset, 0, processes=2)
    assert divided_anew(stored, plain)["compile"]


def test_the_default_is_no_part_of_the_identity(pictures: Path) -> None:
    recipe = tiny_recipe(pictures)
    assert recipe.set("training.sync_batch_norm", "false").id == recipe.id
    assert recipe.set("training.sync_batch_norm", "true").id != recipe.id
