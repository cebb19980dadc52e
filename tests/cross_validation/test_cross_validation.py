"""A cross-validation from end to end: what it leaves, how it goes on, how its networks predict."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from tests.builders.recipes import tiny_recipe
from tests.builders.studies import LimitedExecutor
from trickbag.cross_validation.cross_validation import CrossValidation
from trickbag.cross_validation.out_of_fold import OutOfFold, read_probabilities
from trickbag.cross_validation.result import CrossValidationResult
from trickbag.data.dataset import prepare
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.loading import load_trained
from trickbag.report import cross_validation_page
from trickbag.study.executors.trial_end import failed_result
from trickbag.study.result_lines import read_results
from trickbag.train.folder.fold_runs import FoldsRecord
from trickbag.train.folder.predictions import read_predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

FOLDS = 3


@pytest.fixture(scope="module")
def cross_validation(pictures: Path) -> CrossValidation:
    return CrossValidation(recipe=tiny_recipe(pictures, epochs=1), folds=FOLDS)


@pytest.fixture(scope="module")
def finished(cross_validation: CrossValidation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cross-validation, undisturbed; read only."""
    out = tmp_path_factory.mktemp("whole") / "folds"
    cross_validation.run(LimitedExecutor(), out)
    return out


def written(out: Path) -> tuple[bytes, bytes]:
    return (out / "oof.csv").read_bytes(), (out / "result.json").read_bytes()


def test_each_image_is_predicted_by_the_network_that_has_not_seen_it(
    cross_validation: CrossValidation, finished: Path
) -> None:
    with (finished / "oof.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    record = FoldsRecord.read(finished)
    assert record is not None
    for fold, run in enumerate(record.run_folders(finished)):
        data = replace(cross_validation.recipe.data, folds=FOLDS, fold=fold)
        dataset = prepare(data)
        of_fold = [row for row in rows if row["fold"] == str(fold)]
        assert [row["image"] for row in of_fold] == list(dataset.val.names)
        assert [row["label"] for row in of_fold] == [
            dataset.classes[label] for label in dataset.val.labels
        ]
        predicted = read_predictions(run / "predictions.csv")
        assert predicted is not None
        assert [row["predicted"] for row in of_fold] == [row.predicted for row in predicted]
    assert len({row["image"] for row in rows}) == len(rows)


def test_the_metrics_are_those_of_the_written_predictions(finished: Path) -> None:
    result = CrossValidationResult.read(finished / "result.json")
    assert result is not None
    classes = list(result.classes)
    _, folds, shares = read_probabilities(finished / "oof.csv", classes)
    rows = read_predictions(finished / "oof.csv")
    assert rows is not None
    labels = [classes.index(row.label) for row in rows]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    right = shares.argmax(axis=1) == labels
    top1, loss, macro_f1 = (result.metrics[name] for name in ("top1", "loss", "macro_f1"))
    assert top1 == pytest.approx(100 * right.mean())
    assert loss == pytest.approx(log_loss(labels, shares), rel=1e-5)
    predicted = shares.argmax(axis=1)
    assert macro_f1 == pytest.approx(100 * f1_score(labels, predicted, average="macro"))
    low, high = result.intervals["top1"]
    assert low < top1 < high
    for fold in result.folds:
        of_fold = np.array(folds) == fold.fold
        assert fold.metrics["top1"] == pytest.approx(100 * right[of_fold].mean())
        assert fold.images == of_fold.sum()


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 2])
def test_one_that_was_stopped_goes_on_to_the_same_end(
    cross_validation: CrossValidation, finished: Path, tmp_path: Path, limit: int
) -> None:
    out = tmp_path / "folds"
    with pytest.raises(Stopped, match=f"{limit} of {FOLDS} folds are trained"):
        cross_validation.run(LimitedExecutor(limit), out)
    with pytest.raises(UserError, match="holds a cross-validation already"):
        cross_validation.run(LimitedExecutor(), out)
    with pytest.raises(UserError, match="these are not trained"):
        load_trained(out)
    rest = LimitedExecutor()
    cross_validation.run(rest, out, resume=True)
    assert len(rest.ran) == FOLDS - limit
    assert written(out) == written(finished)


def test_a_finished_one_stays_as_it_is(
    cross_validation: CrossValidation, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "folds"
    shutil.copytree(finished, out)
    again = LimitedExecutor()
    result = cross_validation.run(again, out, resume=True)
    assert (again.ran, written(out)) == ([], written(finished))
    assert result == CrossValidationResult.read(out / "result.json")
    (out / "oof.csv").unlink()
    cross_validation.run(again, out, resume=True)
    assert (again.ran, written(out)) == ([], written(finished))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folds": 2}, "folds = 3, not 2"),
        ({"seed": 1}, "seed = 0, not 1"),
        ({"epochs": "3"}, r"training\.epochs \(1, not 3\)"),
    ],
)
def test_another_one_is_refused(
    cross_validation: CrossValidation, finished: Path, changes: dict[str, Any], says: str
) -> None:
    epochs = changes.pop("epochs", None)
    other = replace(cross_validation, **changes)
    if epochs:
        other = replace(other, recipe=other.recipe.set("training.epochs", epochs))
    with pytest.raises(UserError, match=says):
        other.run(LimitedExecutor(), finished, resume=True)


class Failing(LimitedExecutor):
    """Fails the trials of one fold, so many times."""

    times = 1

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        rest = list(trials)
        for trial in trials:
            if trial.label == "fold 1" and self.times:
                self.times -= 1
                rest.remove(trial)
                yield failed_result(trial, "it broke")
        yield from super().run(task, rest)


@pytest.mark.slow
def test_a_fold_that_fails_is_tried_again(
    cross_validation: CrossValidation, finished: Path, tmp_path: Path
) -> None:
    out, executor = tmp_path / "folds", Failing()
    executor.times = 2
    with pytest.raises(RunFailed, match="fold 1 failed: it broke"):
        replace(cross_validation, retries=0).run(executor, out)
    cross_validation.run(executor, out, resume=True)
    assert written(out) == written(finished)
    results, _ = read_results(out / "results.jsonl")
    assert [result.status for result in results].count("failed") == 2


def test_its_networks_predict_together(finished: Path) -> None:
    trained = load_trained(finished)
    assert len(trained.members) == FOLDS
    with pytest.raises(UserError, match="they are networks of two folds"):
        evaluate(trained)
    alone = load_trained(trained.members[1].path)
    assert evaluate(alone).is_validation


def test_its_page_shows_every_fold(finished: Path, tmp_path: Path) -> None:
    text = cross_validation_page(finished, tmp_path / "page.html").read_text()
    result = json.loads((finished / "result.json").read_text())
    for number in (result["metrics"]["top1"], *(f["metrics"]["top1"] for f in result["folds"])):
        assert f"{number:.2f}" in text
    assert "src=" not in text.replace('src="data:', "")


@pytest.mark.parametrize("name", ["cross_validation.json", "result.json", "oof.csv"])
def test_a_damaged_file_is_named(finished: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "folds"
    shutil.copytree(finished, out)
    content = (out / name).read_bytes()
    (out / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=name):
        cross_validation_page(out)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folds": 1}, "folds = 1: must be from 2"),
        ({"folds": 101}, "folds = 101: must be from 2 to 100"),
        ({"retries": -1}, "retries = -1"),
    ],
)
def test_values_that_cannot_be(
    cross_validation: CrossValidation, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        replace(cross_validation, **changes)


def test_an_image_without_finite_logits_has_empty_cells(tmp_path: Path) -> None:
    logits = np.array([[2.0, 0.0], [np.nan, np.nan], [0.0, 1.0]], np.float32)
    predictions = OutOfFold(
        classes=("image", "b"),
        images=("0.png", "1.png", "2.png"),
        labels=np.array([0, 0, 1]),
        folds=np.array([0, 0, 1]),
        logits=logits,
    )
    predictions.write(tmp_path / "oof.csv")
    lines = (tmp_path / "oof.csv").read_text().splitlines()
    assert lines[0] == "image,label,fold,predicted,confidence,class image,b"
    assert lines[2] == "1.png,image,0,,,,"
    assert predictions.validation().metrics["top1"] == pytest.approx(200 / 3)
    images, folds, shares = read_probabilities(tmp_path / "oof.csv", ("image", "b"))
    assert (images, folds) == (["0.png", "1.png", "2.png"], [0, 0, 1])
    np.testing.assert_allclose(shares[0], np.exp([2, 0]) / np.exp([2, 0]).sum(), rtol=1e-6)
    assert np.isnan(shares[1]).all()


def test_several_labels_an_image(tmp_path: Path) -> None:
    predictions = OutOfFold(
        classes=("a", "b"),
        images=("0.png", "1.png"),
        labels=np.array([[1, 1], [0, 1]]),
        folds=np.array([0, 1]),
        logits=np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32),
        thresholds=np.array([[0.5, 0.9], [0.5, 0.6]]),
        label_separator="|",
    )
    predictions.write(tmp_path / "oof.csv")
    lines = (tmp_path / "oof.csv").read_text().splitlines()
    assert lines[1].startswith("0.png,a|b,0,a,")
    assert lines[2].startswith("1.png,b,1,b,")
    assert predictions.validation().metrics["map"] == pytest.approx(100)
