"""Runs that keep the epoch that is best by a metric other than top-1, and the table of classes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn import metrics as sk

import trickbag as tb
from tests.builders.images import digit_folder
from tests.builders.recipes import bare_recipe
from trickbag.evaluate import Trained, evaluate
from trickbag.metrics.metric import EVALUATED
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.predictions import read_predictions
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("skewed")
    for part, start in (("train", 0), ("val", 40)):
        for name, label, count in (("eight", 8, 6), ("three", 3, 18)):
            digit_folder(root / part, {name: label}, count, start)
    return root


def trained(source: Path, out: Path, score: str) -> tuple[Result, list[dict[str, Any]]]:
    recipe = bare_recipe(source, training__epochs="4", training__lr="0.2", training__keep="best")
    result = tb.fit(recipe.set("training.score", score), out=out, log=RunLog())
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return result, [json.loads(line) for line in lines]


def test_the_table_of_classes_is_of_the_kept_weights(skewed: Path, tmp_path: Path) -> None:
    result, rows = trained(skewed, tmp_path / "run", "balanced_accuracy")
    scores = [row["balanced_accuracy"] for row in rows]
    assert result.metrics["balanced_accuracy"] == max(scores)
    assert result.metrics["best_balanced_accuracy"] == max(scores)
    assert scores[int(result.metrics["epoch"] or 0) - 1] == max(scores)
    predictions = read_predictions(tmp_path / "run" / "predictions.csv") or []
    labels, predicted = zip(*((row.label, row.predicted) for row in predictions), strict=True)
    recalls = sk.recall_score(labels, predicted, average=None, labels=["eight", "three"])
    table = json.loads((tmp_path / "run" / "result.json").read_text())["classes"]
    assert [table[name]["recall"] for name in ("eight", "three")] == pytest.approx(100 * recalls)
    assert [table[name]["support"] for name in ("eight", "three")] == [6, 18]
    assert np.mean(recalls) * 100 == pytest.approx(result.metrics["balanced_accuracy"])
    assert Result.read(tmp_path / "run" / "result.json", result.folder) == result
    evaluation = evaluate(Trained.load(tmp_path / "run"), workers=0).to_dict()
    assert evaluation["classes"] == table
    assert evaluation["auc"] == result.metrics["auc"]


@pytest.mark.slow
@pytest.mark.parametrize("score", ["loss", "ece", "auc", "macro_f1", "aurc", "quadratic_kappa"])
def test_the_kept_epoch_is_the_best_by_the_score(skewed: Path, tmp_path: Path, score: str) -> None:
    result, rows = trained(skewed, tmp_path / "run", score)
    best = (min if EVALUATED[score].better == "lower" else max)(row[score] for row in rows)
    assert result.metrics[score] == result.metrics[f"best_{score}"] == pytest.approx(best)
    assert result.weights is not None
    assert result.weights.score == score
    assert rows[result.weights.epoch - 1][score] == best
