"""Every number and prediction of a run is of the weights that the run keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.builders.recipes import tiny_recipe
from trickbag.data.dataset import prepare
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.models.weights import weights_digest
from trickbag.models.weights_metadata import WeightsMetadata, weights_file
from trickbag.recipe import Recipe
from trickbag.recipes import load
from trickbag.train.fit import fit
from trickbag.train.folder.predictions import read_predictions
from trickbag.train.folder.result import KeptWeights, Result
from trickbag.train.folder.score import is_better

METRICS = ("top1", "top5", "loss", "ece")
SEED, EPOCHS = 3, 4


def restless_recipe(source: Path, **settings: str) -> Recipe:
    """A recipe whose rate stays high, so that the last epoch is often not the best."""
    recipe = tiny_recipe(source, EPOCHS, training__lr="0.3", **settings)
    return recipe.without("cosine_decay", "warmup").set("schedule.decay", "constant")


@pytest.fixture(scope="module")
def best(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose best epoch, which it keeps, is not its last."""
    # The last bits of a processor decide which epoch is the best: of some seeds it is another.
    for seed in range(SEED, SEED + 20):
        out = tmp_path_factory.mktemp("best") / "run"
        result = fit(restless_recipe(pictures), seed, out)
        top1 = [row["top1"] for row in rows_of(out)]
        if max(top1) > top1[-1]:
            assert result.metrics["best_epoch"] != EPOCHS
            return out
    raise AssertionError("the last epoch of every seed is the best")


@pytest.fixture(scope="module")
def last(best: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, which keeps its last epoch."""
    out = tmp_path_factory.mktemp("last") / "run"
    fit(restless_recipe(pictures, training__keep="last"), result_of(best).seed, out)
    return out


def best_epoch(run: Path) -> int:
    """The epoch of the highest top-1; of equal ones that of the smallest loss, then the later."""
    rows = rows_of(run)
    return max(range(1, EPOCHS + 1), key=lambda i: (rows[i - 1]["top1"], -rows[i - 1]["loss"], i))


def result_of(run: Path) -> Result:
    result = Result.read(run / "result.json")
    assert result is not None
    return result


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_result_is_of_the_kept_weights(best: Path) -> None:
    result, rows = result_of(best), rows_of(best)
    assert result.weights == KeptWeights(
        file="best.safetensors",
        keep="best",
        score="top1",
        epoch=best_epoch(best),
        epochs=EPOCHS,
        precision="float32",
    )
    kept, final = rows[best_epoch(best) - 1], rows[-1]
    assert kept["top1"] > final["top1"]
    for name in METRICS:
        assert result.metrics[name] == kept[name]
        assert result.metrics[f"last_{name}"] == final[name]
    assert result.metrics["train_loss"] == kept["train_loss"]
    epochs = [result.metrics[name] for name in ("epoch", "best_epoch")]
    assert epochs == [best_epoch(best)] * 2


@pytest.mark.parametrize("suffix", ["", ":last"])
def test_evaluate_and_predict_agree_with_the_run(best: Path, suffix: str) -> None:
    run, epoch = f"{best}{suffix}", EPOCHS if suffix else best_epoch(best)
    evaluation = evaluate(Trained.load(run, "cpu"), workers=0)
    assert {name: evaluation.metrics[name] for name in METRICS} == {
        name: rows_of(best)[epoch - 1][name] for name in METRICS
    }
    assert (evaluation.epoch, evaluation.precision) == (epoch, "float32")
    part = prepare(load(str(best)).data).val
    predictions = list(Predictor.load(run, device="cpu").predict(part.read(i) for i in range(12)))
    labels = [predictions[0].classes[label] for label in part.labels]
    right = np.mean([p.label == label for p, label in zip(predictions, labels, strict=True)])
    assert 100 * right == pytest.approx(evaluation.metrics["top1"])


def test_the_predictions_are_of_the_kept_weights(best: Path) -> None:
    rows = read_predictions(best / "predictions.csv")
    part = prepare(load(str(best)).data).val
    predictions = list(Predictor.load(best, device="cpu").predict(part.read(i) for i in range(12)))
    assert rows is not None
    for row, prediction in zip(rows, predictions, strict=True):
        assert row.predicted == prediction.label
        assert row.confidence == pytest.approx(prediction.confidence, abs=2e-6)


def test_what_is_kept_changes_nothing_of_the_training(best: Path, last: Path) -> None:
    result = result_of(last)
    assert result.weights is not None
    assert (result.weights.keep, result.weights.epoch) == ("last", EPOCHS)
    for name in METRICS:
        assert result.metrics[name] == result.metrics[f"last_{name}"] == rows_of(best)[-1][name]
    assert not (last / "last.safetensors").exists()
    assert (best / "last.safetensors").read_bytes() == (last / "best.safetensors").read_bytes()
    kept, final = (load_file(best / f"{name}.safetensors") for name in ("best", "last"))
    assert any(not kept[name].equal(final[name]) for name in kept)


def test_run_last_names_the_last_weights_where_weights_are_named(best: Path, last: Path) -> None:
    assert weights_file(Path(f"{best}:last")) == best / "last.safetensors"
    assert weights_file(Path(f"{last}:last")) == last / "best.safetensors"
    assert weights_digest(Path(f"{best}:last")) != weights_digest(best)
    metadata = WeightsMetadata.read(Path(f"{best}:last"))
    assert (metadata.epoch, metadata.epochs, metadata.eval_precision) == (4, 4, "float32")


def test_an_unfinished_run_has_no_last_weights(best: Path, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes((best / "best.safetensors").read_bytes())
    with pytest.raises(UserError, match="the run has not finished") as error:
        weights_file(Path(f"{tmp_path}:last"))
    assert f"the weights of epoch {best_epoch(best)}" in str(error.value)


def test_a_run_can_report_in_reduced_precision(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures, 1, training__eval_precision="bf16")
    result = fit(recipe, SEED, tmp_path / "run")
    assert result.weights is not None
    assert result.weights.precision == "bf16"
    trained = Trained.load(tmp_path / "run", "cpu")
    evaluation = evaluate(trained, workers=0)
    assert evaluation.precision == "bf16"
    assert evaluation.metrics["loss"] == result.metrics["loss"]
    float32 = evaluate(Trained.load(tmp_path / "run", "cpu", "float32"), workers=0)
    assert float32.metrics["loss"] != result.metrics["loss"]


@pytest.mark.parametrize(
    ("name", "later", "best_so_far", "better"),
    [
        ("top1", (80.0, 0.5), (None, None), True),
        ("top1", (80.0, 0.5), (70.0, 0.1), True),
        ("top1", (70.0, 0.1), (80.0, 0.5), False),
        ("top1", (80.0, 0.4), (80.0, 0.5), True),  # equal scores: the smaller loss
        ("top1", (80.0, 0.6), (80.0, 0.5), False),
        ("top1", (80.0, 0.5), (80.0, 0.5), True),  # and then the later epoch
        ("top1", (80.0, None), (80.0, 0.5), False),
        ("top1", (None, 0.1), (0.0, 0.5), False),
        ("top1", (None, None), (None, None), True),
        ("loss", (0.4, 0.4), (0.5, 0.5), True),
        ("loss", (0.6, 0.6), (0.5, 0.5), False),
        ("ece", (1.0, 0.9), (2.0, 0.1), True),
    ],
)
def test_the_better_epoch(
    name: str,
    later: tuple[float | None, float | None],
    best_so_far: tuple[float | None, float | None],
    better: bool,
) -> None:
    assert is_better(name, later, best_so_far) is better
