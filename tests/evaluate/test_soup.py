"""Model soups: the mean of weights by hand, statistics of its own, and the greedy choice."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.builders.recipes import tiny_recipe
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.evaluate import soup as soups
from trickbag.evaluate.loading import load_trained
from trickbag.evaluate.soup import cook, mean_state
from trickbag.models.weights import save_weights
from trickbag.train.fit import fit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def runs(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that are fine-tuned from the weights of a third; read only."""
    folder = tmp_path_factory.mktemp("soup")
    fit(tiny_recipe(pictures, epochs=3), 0, folder / "first")
    recipe = tiny_recipe(
        pictures, epochs=1, training__init=str(folder / "first"), training__lr="0.01"
    )
    for seed in (1, 2):
        fit(recipe, seed, folder / f"{seed}")
    return [folder / "1", folder / "2"]


def loaded(runs: list[Path]) -> list[Trained]:
    return [Trained.load(run, "cpu") for run in runs]


def test_the_mean_is_taken_of_every_tensor() -> None:
    networks = [nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(3)]
    for place, network in enumerate(networks):
        nn.init.constant_(network[0].weight, float(place))
        network[1].num_batches_tracked.fill_(place)
    state = mean_state(networks)
    torch.testing.assert_close(state["0.weight"], torch.ones(2, 3))
    biases = np.stack([network[0].bias.detach().numpy() for network in networks])
    np.testing.assert_allclose(state["0.bias"].numpy(), biases.mean(0, dtype=np.float64), rtol=1e-6)
    assert state["1.num_batches_tracked"] == 0
    with pytest.raises(UserError, match="other tensors"):
        mean_state([networks[0], nn.Linear(3, 2)])


@pytest.mark.slow
def test_a_soup_of_a_run_and_itself_is_the_run_with_statistics_of_its_own(
    runs: list[Path],
) -> None:
    first = loaded(runs)[0]
    soup = cook([first, first])
    state, before = soup.trained.network.state_dict(), first.network.state_dict()
    for name, tensor in before.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)
    assert soup.ingredients == (0, 1)
    assert soup.scores[0] == evaluate(first).metrics["top1"]


@pytest.mark.slow
def test_a_soup_is_a_run_to_predict_with(runs: list[Path], pictures: Path, tmp_path: Path) -> None:
    soup = cook(loaded(runs))
    assert soup.soup_score == evaluate(soup.trained).metrics["top1"]
    assert not [note for note in soup.notes if "same weights" in note.reason]
    file = tmp_path / "soup.safetensors"
    save_weights(soup.trained.network, file, soup.trained.metadata)
    paths = sorted(pictures.rglob("*.png"))[:3]
    for read, kept in zip(
        Predictor(trained=load_trained(file, device="cpu")).predict(paths),
        Predictor(trained=soup.trained).predict(paths),
        strict=True,
    ):
        # Without its run the file has another memory layout.
        np.testing.assert_allclose(read.probabilities, kept.probabilities, atol=1e-6)
    assert evaluate(load_trained(file), data=str(pictures)).images == 60


@pytest.mark.parametrize(
    ("scores", "mixed", "ingredients"),
    [
        # By their own scores the order is 1, 2, 0.
        ([50.0, 70.0, 60.0], {(1, 2): 71.0, (1, 2, 0): 70.0}, (1, 2)),
        ([50.0, 70.0, 60.0], {(1, 2): 69.0, (1, 0): 70.0}, (0, 1)),
        ([50.0, 70.0, 60.0], {(1, 2): 69.0, (1, 0): 69.0}, (1,)),
    ],
)
@pytest.mark.slow
def test_a_greedy_soup_keeps_what_does_not_lower_the_score(
    runs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    scores: list[float],
    mixed: dict[tuple[int, ...], float],
    ingredients: tuple[int, ...],
) -> None:
    trained = loaded([runs[0]] * 3)
    known: dict[int, float] = {id(each.network): s for each, s in zip(trained, scores, strict=True)}

    def mixing(chosen: Any, training: Any) -> Trained:
        places = tuple(
            next(i for i, each in enumerate(trained) if each.network is member.network)
            for member in chosen
        )
        soup = dataclasses.replace(trained[0], network=nn.Identity())
        known[id(soup.network)] = mixed[places]
        kept.append(soup)
        return soup

    class Scores:
        def __init__(self, top1: float) -> None:
            self.metrics, self.images = {"top1": top1}, 12

    kept: list[Trained] = []
    monkeypatch.setattr(soups, "_mixed", mixing)
    monkeypatch.setattr(soups, "evaluate", lambda trained: Scores(known[id(trained.network)]))
    soup = cook(trained, greedy=True)
    assert soup.ingredients == ingredients
    assert any("greedy" in note.reason for note in soup.notes)


@pytest.mark.slow
def test_what_cannot_be_averaged(runs: list[Path], pictures: Path, tmp_path: Path) -> None:
    first, second = loaded(runs)
    with pytest.raises(UserError, match="nothing to average"):
        cook([first])
    with pytest.raises(UserError, match="have other classes"):
        cook([first, dataclasses.replace(second, classes=("x", "y", "z"))])
    model = dataclasses.replace(second.model, width_factor=0.5)  # type: ignore[type-var]
    with pytest.raises(UserError, match="have other networks"):
        cook([first, dataclasses.replace(second, model=model)])
    with pytest.raises(UserError, match=r"no recipe\.json"):
        cook([first, dataclasses.replace(second, record=None)])
    fit(tiny_recipe(pictures, epochs=1), 3, tmp_path / "other")
    notes = cook([first, Trained.load(tmp_path / "other", "cpu")]).notes
    assert any("do not start from the same weights" in note.reason for note in notes)
