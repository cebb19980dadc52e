from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tests.report.run_folder import write_run
from trickbag.metrics.classification import Classification
from trickbag.report import most_confident_mistakes
from trickbag.report.run.predictions import confusion, most_confused, reliability
from trickbag.train.folder.predictions import PredictionRow, read_predictions

if TYPE_CHECKING:
    from pathlib import Path


def digits() -> tuple[list[PredictionRow], np.ndarray, np.ndarray]:
    data = load_digits()
    model = LogisticRegression(C=1e-4, max_iter=200).fit(data.data[::2], data.target[::2])
    p, labels = model.predict_proba(data.data[1::2]), data.target[1::2]
    rows = [
        PredictionRow(f"{i}", str(label), str(row.argmax()), float(row.max()))
        for i, (label, row) in enumerate(zip(labels, p, strict=True))
    ]
    return rows, np.asarray(labels), np.asarray(p)


def test_confusion_and_scores_are_scikit_learns() -> None:
    rows, labels, p = digits()
    matrix = confusion(rows)
    assert matrix.classes == tuple("0123456789")
    np.testing.assert_array_equal(matrix.counts, confusion_matrix(labels, p.argmax(1)))
    precision, recall, f1, support = precision_recall_fscore_support(labels, p.argmax(1))
    scores = matrix.scores()
    assert [score.recall for score in scores] == sorted(100 * recall)
    for score in scores:
        k = int(score.name)
        assert score.support == support[k]
        assert (score.recall, score.precision, score.f1) == pytest.approx(
            (100 * recall[k], 100 * precision[k], 100 * f1[k])
        )


def test_scores_that_are_not_defined() -> None:
    scores = confusion(
        [PredictionRow("1", "a", "b", 0.5), PredictionRow("2", "a", "b", 0.5)]
    ).scores()
    assert [(s.name, s.support, s.recall, s.precision, s.f1) for s in scores] == [
        ("a", 2, 0, None, 0),
        ("b", 0, None, 0, 0),
    ]


def test_reliability_is_that_of_the_metrics() -> None:
    rows, labels, p = digits()
    counter = Classification(10)
    counter.update(torch.tensor(p).log(), torch.tensor(labels))
    diagram = reliability(rows)
    assert diagram is not None
    assert diagram.ece == pytest.approx(counter.compute()["ece"], abs=1e-9)
    assert diagram.ece > 1
    np.testing.assert_array_equal(diagram.counts, counter.state()["bin_counts"][0].numpy())
    assert np.isnan(diagram.accuracy[diagram.counts == 0]).all()


def test_bins_are_closed_above() -> None:
    diagram = reliability(
        [PredictionRow("", "a", "a", c) for c in (0.0, 0.5, 0.5000001, 1.0)], bins=2
    )
    assert diagram is not None
    assert diagram.counts.tolist() == [2, 2]
    assert diagram.ece == pytest.approx(100 * (abs(2 - 0.5) + abs(2 - 1.5000001)) / 4)
    assert reliability([PredictionRow("", "a", "a", None)]) is None


def test_most_confident_mistakes_come_first() -> None:
    rows = [
        PredictionRow("d", "x", "y", 0.9),
        PredictionRow("c", "x", "x", 1.0),
        PredictionRow("b", "x", "y", 0.9),
        PredictionRow("a", "x", "y", 0.8),
        PredictionRow("e", "x", "y", None),
    ]
    assert [row.image for row in most_confident_mistakes(rows, 10)] == ["b", "d", "a"]
    assert [row.image for row in most_confident_mistakes(rows, 1)] == ["b"]
    assert most_confused(rows, 5) == [("x", "y", 4, 5)]


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2, classes=['a"b', "c,d", "e\nf", "é", *"ghijkl"])
    rows = read_predictions(folder / "predictions.csv")
    assert rows is not None
    assert len(rows) == 360
    assert {row.label for row in rows} == {'a"b', "c,d", "e\nf", "é", *"ghijkl"}
    assert read_predictions(tmp_path / "absent.csv") is None
