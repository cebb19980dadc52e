"""The threshold for a wanted accuracy: chosen on an evaluation, kept with the run, read back."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.evaluate.evaluation import Evaluation
from trickbag.evaluate.record import evaluation_file
from trickbag.evaluate.selective import selective_record, stored_threshold

if TYPE_CHECKING:
    from pathlib import Path

N, K = 400, 3


@pytest.fixture(scope="module")
def evaluation(trained: Trained) -> Evaluation:
    """An evaluation with the logits of 400 images, the less sure of which are often wrong."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, K, N)
    logits_NK = rng.normal(size=(N, K)).astype(np.float32)
    logits_NK[np.arange(N), labels_N] += rng.choice([0.5, 8.0], N, p=[0.3, 0.7])
    measured = evaluate(trained, workers=0)
    assert measured.validation is not None
    validation = dataclasses.replace(measured.validation, logits=logits_NK, labels=labels_N)
    return dataclasses.replace(measured, validation=validation, images=N)


def chosen(trained: Trained, evaluation: Evaluation, target: float) -> dict[str, Any]:
    record = selective_record(trained, evaluation, target)
    assert record.kind == "selective"
    return {**record.settings, **record.metrics, **record.details, "notes": record.notes}


def test_the_threshold_is_of_the_confidences_that_are_predicted(
    trained: Trained, evaluation: Evaluation
) -> None:
    for temperature in (None, 1.0, 2.5):
        record = chosen(dataclasses.replace(trained, temperature=temperature), evaluation, 95.0)
        assert evaluation.validation is not None
        assert evaluation.validation.logits is not None
        logits_NK = evaluation.validation.logits.astype(np.float64) / (temperature or 1)
        shares_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(1, keepdims=True)
        accepted_N = shares_NK.max(1) >= record["threshold"]
        assert record["accepted"] == accepted_N.sum()
        right_N = shares_NK.argmax(1) == evaluation.validation.labels
        assert record["accuracy"] == pytest.approx(100 * right_N[accepted_N].mean())
        assert record["accuracy_low"] >= 95
        assert record["temperature"] == temperature
        assert record["notes"] == ()


def test_what_is_not_sure_is_noted(trained: Trained, evaluation: Evaluation) -> None:
    unsure = chosen(trained, evaluation, 99.9)
    assert unsure["basis"] == "estimate"
    assert "may give less on others" in unsure["notes"][0].text
    assert evaluation.validation is not None
    wrong = dataclasses.replace(
        evaluation.validation,
        labels=(evaluation.validation.logits.argmax(1) + 1) % K,  # type: ignore[union-attr]
    )
    absent = chosen(trained, dataclasses.replace(evaluation, validation=wrong), 50.0)
    assert absent["threshold"] is None
    assert "no threshold gives an accuracy of 50 % on 400 images" in absent["notes"][0].text
    of_training = chosen(trained, dataclasses.replace(evaluation, part="train"), 95.0)
    assert "chosen on training images" in of_training["notes"][0].text


def test_several_labels_have_no_single_confidence(trained: Trained, evaluation: Evaluation) -> None:
    several_labels = dataclasses.replace(trained, thresholds=(0.5,) * K)
    with pytest.raises(UserError, match="no single confidence"):
        selective_record(several_labels, evaluation, 95.0)


def test_the_threshold_is_read_back_for_the_same_weights_alone(
    run: Path, trained: Trained, evaluation: Evaluation, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    here = Trained.load(folder, "cpu")
    with pytest.raises(UserError, match="has no threshold yet"):
        stored_threshold(here)
    record = selective_record(here, evaluation, 95.0)
    record.write(folder)
    assert stored_threshold(here) == record.metrics["threshold"]
    data = json.loads(evaluation_file(folder, "selective").read_text())
    for changed, message in (
        ({"weights": "best.safetensors, epoch 99 of 99"}, "is of best.safetensors, epoch 99"),
        ({"settings": data["settings"] | {"temperature": 7.5}}, "chosen with temperature = 7.5"),
        ({"settings": data["settings"] | {"tta": "flip"}}, "chosen with tta = flip"),
        ({"metrics": data["metrics"] | {"threshold": None}}, "has no threshold, as none gave"),
    ):
        evaluation_file(folder, "selective").write_text(json.dumps(data | changed))
        with pytest.raises(UserError, match=message):
            stored_threshold(here)
    with pytest.raises(UserError, match="does not lie in the folder of a run"):
        stored_threshold(dataclasses.replace(here, record=None))


def test_unsure_images_are_rejected(photos: Path, predictor: Predictor) -> None:
    plain = list(predictor.predict(photos))
    confidences = sorted(prediction.confidence or 0 for prediction in plain)
    limit = (confidences[5] + confidences[6]) / 2
    predictions = list(dataclasses.replace(predictor, reject_below=limit).predict(photos))
    assert sum(prediction.rejected for prediction in predictions) == 6
    for before, after in zip(plain, predictions, strict=True):
        assert after.rejected == ((before.confidence or 0) < limit)
        assert after.label == (None if after.rejected else before.label)
        assert after.confidence == before.confidence
    assert not any(prediction.rejected for prediction in plain)
