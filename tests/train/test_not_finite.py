"""Validation images whose logits are not finite, in a run that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.builders.recipes import tiny_recipe
from trickbag.report.run.comparison import disagreement
from trickbag.report.run.predictions import confusion, most_confused, reliability
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.predictions import PredictionRow, read_predictions


def test_the_result_says_how_many_images_have_no_finite_logits(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_row_is_not(logits_NK: torch.Tensor) -> torch.Tensor:
        logits = logits_NK.clone()
        logits[0] = torch.nan
        return logits

    monkeypatch.setattr("trickbag.tasks.classification.only_finite", first_row_is_not)
    result = fit(tiny_recipe(pictures, epochs=1), 0, tmp_path / "run", log=RunLog())
    (note,) = (note for note in result.notes if note["kind"] == "weights")
    assert note["reason"] == (
        "the kept weights give logits that are not finite for 1 of 12 images of the validation "
        "part: none of these is right"
    )
    assert result.metrics["loss"] is None
    assert result.metrics["top1"] is not None
    rows = read_predictions(tmp_path / "run" / "predictions.csv") or []
    _require_predicted_as_nothing(rows, result.metrics["top1"])


def _require_predicted_as_nothing(rows: list[PredictionRow], top1: float | None) -> None:
    """Check the readers of rows of which the first, of the first class, has no finite logits."""
    first, *others = rows
    assert first.label == min(row.label for row in rows)  # the class at which NaN has its maximum
    assert (first.predicted, first.confidence, first.right) == (None, None, False)
    assert all(row.predicted and row.confidence is not None for row in others)
    assert top1 == pytest.approx(100 * sum(row.right for row in rows) / len(rows))
    matrix = confusion(rows)
    assert matrix.counts.sum() == len(rows) - 1
    scores = {score.name: score for score in matrix.scores()}
    assert scores[first.label].support == sum(row.label == first.label for row in rows)
    assert sum(count for *_, count, _ in most_confused(rows, 99)) == sum(
        not row.right for row in others
    )
    diagram = reliability(rows)
    assert diagram is not None
    assert diagram.counts.sum() == len(rows) - 1
    right = [first._replace(predicted=first.label, confidence=0.5), *others]
    compared = disagreement(rows, right)
    assert compared is not None
    assert (compared["first"], compared["second"]) == (0, 1)


def test_files_of_before_name_the_first_class_and_are_read_as_nothing(tmp_path: Path) -> None:
    file = tmp_path / "predictions.csv"
    file.write_text("image,label,predicted,confidence\na,x,x,\nb,x,x,0.5\nc,y,x,0.75\n")
    rows = read_predictions(file) or []
    _require_predicted_as_nothing(rows, 100 / 3)
    # Of several labels an image has any number, and none of them a confidence.
    file.write_text("image,label,predicted,confidence\na,,,\nb,x y,x,\n")
    assert [(row.predicted, row.right) for row in read_predictions(file) or []] == [
        ("", True),
        ("x", False),
    ]
