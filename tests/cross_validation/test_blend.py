"""Weights of a blend: against an optimizer of scipy, on planted members, and in real prediction."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tests.builders.recipes import tiny_recipe
from tests.builders.studies import LimitedExecutor
from trickbag.cross_validation.blend import blend_runs, fit_weights, fitted_members
from trickbag.cross_validation.cross_validation import CrossValidation
from trickbag.errors import UserError
from trickbag.evaluate import Predictor
from trickbag.evaluate.blend_file import is_blend, read_blend
from trickbag.evaluate.loading import load_trained

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def loss(weights: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    return float(-np.log(np.maximum(shares @ weights, 1e-12)).mean())


@given(
    members=st.integers(2, 5),
    images=st.integers(20, 200),
    seed=st.integers(0, 2**31),
    sharpness=st.floats(0.3, 4),
)
@settings(deadline=None, max_examples=25)
def test_no_weights_have_a_lower_loss(
    members: int, images: int, seed: int, sharpness: float
) -> None:
    rng = np.random.default_rng(seed)
    shares = 1 / (1 + np.exp(-sharpness * rng.normal(1, 1, (images, members))))
    weights = fit_weights(shares)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    best = minimize(
        loss,
        np.full(members, 1 / members),
        (shares,),
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert loss(weights, shares) < best.fun + 2e-3 * abs(best.fun) + 2e-5


def planted(images: int = 600) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two members that err on different images, and one that knows nothing."""
    rng = np.random.default_rng(0)
    first, second = (np.where(rng.random(images) < 0.85, 0.9, 0.05) for _ in range(2))
    nothing = rng.uniform(0.05, 0.15, images)
    return np.stack([first, second, nothing], axis=1), np.arange(images) % 5


def test_members_that_complement_each_other_stay_and_one_that_knows_nothing_goes() -> None:
    shares, folds = planted()
    members, blended = fitted_members(shares, folds)
    assert [member.rejected is None for member in members] == [True, True, False]
    assert members[2].weight == 0
    assert members[0].weight == pytest.approx(0.5, abs=0.15)
    assert members[0].helps_on == 5
    assert blended < min(loss(weights, shares) for weights in np.eye(3))


def test_one_that_helps_on_one_fold_only_is_rejected() -> None:
    places, folds = np.arange(600), np.arange(600) % 3
    first = np.where(places // 3 % 10 == 0, 0.1, 0.9)
    # Right where the first is wrong: a little of it helps. On fold 2 much of it would.
    second = np.where(first == 0.1, 0.95, 0.1)
    second[folds == 2] = 0.95
    first[(folds == 2) & (places // 3 % 2 == 0)] = 0.1
    members, _ = fitted_members(np.stack([first, second], axis=1), folds)
    assert members[1].rejected == "helps on one fold of 3 only"
    assert (members[0].weight, members[1].weight) == (1, 0)


def test_the_cross_fitted_loss_is_of_weights_that_have_not_seen_the_fold() -> None:
    shares, folds = planted()
    shares = shares[:, :2]
    _, blended = fitted_members(shares, folds)
    by_fold = [loss(fit_weights(shares[folds != f]), shares[folds == f]) for f in range(5)]
    assert blended == pytest.approx(np.mean(by_fold))


@pytest.fixture(scope="module")
def runs(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Cross-validations of two folds of two recipes; read only."""
    folder = tmp_path_factory.mktemp("blend")
    folders = []
    for name, seed in (("a", 0), ("b", 1)):
        recipe = tiny_recipe(pictures, epochs=1)
        run = CrossValidation(recipe=recipe, folds=2, seed=seed)
        run.run(LimitedExecutor(), folder / name)
        folders.append(folder / name)
    return folders


@pytest.mark.slow
def test_a_blend_predicts_by_its_weights(runs: list[Path], pictures: Path, tmp_path: Path) -> None:
    blend = blend_runs(runs, tmp_path / "blend.json")
    members = (
        dataclasses.replace(blend.members[0], weight=0.75, rejected=None),
        dataclasses.replace(blend.members[1], weight=0.25, rejected=None),
    )
    dataclasses.replace(blend, members=members).write(tmp_path / "blend.json")
    paths = sorted(pictures.rglob("*.png"))[:4]

    def probabilities(run: Any) -> NDArray[np.float64]:
        trained = dataclasses.replace(load_trained(run, device="cpu"), temperature=None)
        rows = [each.probabilities for each in Predictor(trained=trained).predict(paths)]
        return np.stack([np.float64(row) for row in rows if row is not None])

    expected = 0.75 * probabilities(runs[0]) + 0.25 * probabilities(runs[1])
    np.testing.assert_allclose(probabilities(tmp_path / "blend.json"), expected, atol=1e-6)
    trained = load_trained(tmp_path / "blend.json")
    assert trained.weights == pytest.approx((0.375, 0.375, 0.125, 0.125))
    assert "0.375 of" in trained.weights_title


@pytest.mark.slow
def test_what_a_blend_says(runs: list[Path], tmp_path: Path) -> None:
    blend = blend_runs(runs, tmp_path / "blend.json")
    blend.write(tmp_path / "blend.json")
    assert is_blend(tmp_path / "blend.json")
    assert not is_blend(runs[0] / "result.json")
    assert (blend.images, blend.folds) == (60, 2)
    for member, run in zip(blend.members, runs, strict=True):
        stated = json.loads((run / "result.json").read_text())["metrics"]["loss"]
        assert member.loss == pytest.approx(stated, rel=1e-5)
    # Moved together, the files still find each other.
    shutil.copytree(runs[0].parent, tmp_path / "moved")
    beside = blend_runs([tmp_path / "moved" / "a", tmp_path / "moved" / "b"], tmp_path / "moved/x")
    assert [member.run for member in beside.members] == ["a", "b"]


@pytest.mark.slow
def test_what_cannot_be_blended(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "blend.json"
    with pytest.raises(UserError, match="nothing to blend"):
        blend_runs(runs[:1], out)
    with pytest.raises(UserError, match="given twice"):
        blend_runs([runs[0], runs[0]], out)
    with pytest.raises(UserError, match="is no cross-validation"):
        blend_runs([runs[0], tmp_path], out)
    other = tmp_path / "other"
    shutil.copytree(runs[1], other)
    lines = (other / "oof.csv").read_text().splitlines()
    (other / "oof.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match="other images or labels, such as"):
        blend_runs([runs[0], other], out)
    (other / "result.json").unlink()
    with pytest.raises(UserError, match="not all trained"):
        blend_runs([runs[0], other], out)


def test_a_blend_whose_members_are_gone_or_whose_file_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "blend.json"
    members = [{"run": "gone", "weight": 1.0, "loss": 0.1}]
    content = {
        "kind_of_file": "blend",
        "schema": 1,
        "version": "0",
        "members": members,
        "data": "00",
        "images": 3,
        "folds": 2,
        "loss": 0.1,
        "mean_loss": 0.1,
        "best_loss": 0.1,
    }
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"gone, a member of the blend .* is not there"):
        read_blend(file)
    members[0]["weight"] = 0.5
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"weights sum to 0\.5"):
        read_blend(file)
