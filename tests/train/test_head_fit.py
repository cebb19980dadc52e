"""A classifier that is fitted before the first step: its values, and where it is not fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

from tests.builders.recipes import bare_recipe
from tests.builders.runs import built
from tests.builders.teachers import teacher_file
from trickbag.data.dataset import Dataset
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.train.head_fit import RidgeSums, fit_head
from trickbag.train.loaders import run_loaders
from trickbag.tricks.ema import Ema
from trickbag.tricks.trick import Trick


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_file(tmp_path_factory.mktemp("weights") / "w.safetensors", classes=("x", "y"))


def fitting(pictures: Path, weights: Path, *tricks: Trick, **settings: str) -> Recipe:
    chosen = {"training.init": str(weights), "training.fit_head": "true", "training.epochs": "1"}
    return bare_recipe(pictures, *tricks, **(chosen | settings))


def test_the_sums_give_the_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, [1.0, 5.0, 0.1, 2.0], (50, 4)).astype(np.float32)
    labels = rng.integers(0, 3, 50)
    targets = np.eye(3)[labels]
    sums = RidgeSums()
    for rows in (slice(0, 7), slice(7, 50)):
        sums.add(torch.from_numpy(features[rows]), torch.from_numpy(targets[rows]))
    weight, bias = sums.solve()
    distances = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    expected = Ridge(alpha=(distances**2).sum() / 50).fit(features.astype(np.float64), targets)
    np.testing.assert_allclose(weight, expected.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(bias, expected.intercept_, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_features_changes_no_logit(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    targets = torch.eye(2).repeat(20, 1)
    logits = []
    for factor in (1.0, scale):
        sums = RidgeSums()
        sums.add(features * factor, targets)
        weight, bias = sums.solve()
        logits.append(features * factor @ weight.T + bias)
    torch.testing.assert_close(*logits)


def test_equal_features_give_the_shares_of_the_classes() -> None:
    sums = RidgeSums()
    sums.add(torch.ones(4, 3), torch.tensor([[1, 0], [1, 0], [1, 0], [0, 1]]))
    weight, bias = sums.solve()
    assert not weight.any()
    assert bias.tolist() == [0.75, 0.25]


def test_a_run_fits_its_classifier_on_images_as_in_evaluation(
    pictures: Path, weights: Path, dataset: Dataset
) -> None:
    run, notes = built(fitting(pictures, weights, Ema()), dataset)
    assert not any("not fitted" in note.text for note in notes)
    assert run.head_to_fit is not None
    body = {n: t.clone() for n, t in run.network.state_dict().items() if not n.startswith("fc.")}
    with run_loaders(run, dataset) as loaders:
        assert loaders.head is not None
        assert len(loaders.head.part) == len(dataset.train)
        fit_head(run, run.head_to_fit, loaders.head, lambda: None)
        features, labels = [], []
        for raw in loaders.head.epoch(0):
            images = run.evaluation.normalise(raw.images.float())
            with torch.no_grad():
                features.append(run.head_to_fit.forward(images)[0].double())
            labels.append(raw.labels)
    sums = RidgeSums()
    sums.add(torch.cat(features), torch.nn.functional.one_hot(torch.cat(labels), 3))
    weight, bias = sums.solve()
    torch.testing.assert_close(run.network.fc.weight.detach(), weight.float())
    torch.testing.assert_close(run.network.fc.bias.detach(), bias.float())
    after = run.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in body.items())


def test_weights_that_know_the_classes_keep_their_rows(
    pictures: Path, dataset: Dataset, tmp_path: Path
) -> None:
    file = teacher_file(tmp_path / "w.safetensors", classes=(dataset.classes[0], "x"))
    run, notes = built(fitting(pictures, file), dataset)
    assert run.head_to_fit is None
    texts = [note.text for note in notes]
    reason = "the weights have rows for classes of the data"
    assert f"the classifier is not fitted before the first step: {reason}" in texts


@pytest.mark.slow
def test_a_fitted_run_starts_better_and_is_the_same_again(
    pictures: Path, weights: Path, tmp_path: Path
) -> None:
    still = {"training.lr": "1e-9", "training.batch_norm": "frozen"}
    recipe = fitting(pictures, weights, Ema(), **still)
    results = [fit(recipe, 0, tmp_path / name) for name in ("first", "second")]
    first, second = (load_file(tmp_path / n / "best.safetensors") for n in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    zero = fit(recipe.set("training.fit_head", "false"), 0, tmp_path / "zero")
    assert results[0].metrics["top1"] > zero.metrics["top1"]
    # The average begins with the fitted classifier too.
    assert results[0].metrics["top1"] == results[0].metrics["raw_top1"]
