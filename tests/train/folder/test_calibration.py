"""The calibration of a run at its end, on predictions that no network made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from trickbag.metrics.calibration_scores import CALIBRATED, calibrated_scores
from trickbag.metrics.multi_label import MultiLabel
from trickbag.metrics.probabilities import Confidences, softmax
from trickbag.metrics.scores import class_scores
from trickbag.tasks.classification import Validation
from trickbag.train.folder.calibration import (
    MULTI_LABEL,
    calibration_notes,
    calibration_of,
    confidence_of,
    gap_notes,
    judged_at,
    temperature_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

N, K = 300, 5


def logits(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose probabilities are right, and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    logits_nk = 3 * rng.normal(size=(N, K))
    labels_n = (softmax(logits_nk).cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    return logits_nk.astype(np.float32), labels_n


def validation(logits_nk: NDArray[np.float32], labels_n: NDArray[np.int64]) -> Validation:
    images = Confidences.of(logits_nk, labels_n)
    return Validation(
        metrics={"top1": 50.0},
        throughput=None,
        index=np.arange(N),
        labels=labels_n,
        predicted=logits_nk.argmax(axis=1),
        confidence=images.confidence,
        logits=logits_nk,
        scores=class_scores(logits_nk, labels_n),
    )


def several_labels() -> Validation:
    scores_nk, labels_nk = np.full((N, K), 0.5), np.zeros((N, K), np.int64)
    return Validation(
        metrics={},
        throughput=None,
        index=np.arange(N),
        labels=labels_nk,
        predicted=labels_nk,
        confidence=np.full(N, np.nan),
        multi_label=MultiLabel.of(scores_nk, labels_nk, None),
        logits=np.zeros((N, K), np.float32),
    )


def test_an_underconfident_network_is_calibrated() -> None:
    logits_nk, labels_n = logits()
    shy = validation(logits_nk / 4, labels_n)
    calibration = calibration_of(shy)
    assert calibration is not None
    assert calibration.temperature == pytest.approx(0.25, rel=0.25)
    assert temperature_of(shy) == calibration.temperature
    assert calibration_notes(calibration, shy, None) == []
    # Without the temperature the confidences are far from the accuracy, and a note says so.
    (note,) = gap_notes(shy, None, "val", "fit a temperature")
    assert note.kind == "calibration"
    assert note.reason.startswith("val part: the mean confidence of 300 images is ")
    assert note.reason.endswith("; fit a temperature")
    confidence_n = confidence_of(shy, calibration.temperature)
    expected_nk = softmax(np.float64(logits_nk / 4) / calibration.temperature)
    np.testing.assert_allclose(confidence_n, expected_nk.max(axis=1), rtol=1e-12)
    assert confidence_of(shy, None) is shy.confidence


def test_the_test_part_is_judged_at_the_temperature_of_the_validation_part() -> None:
    tested = validation(*logits(seed=1))
    assert tested.logits is not None
    judged = judged_at(tested, 2.0)
    assert judged.scores["calibrated_ece"] != tested.scores["calibrated_ece"]
    expected = calibrated_scores(tested.logits, tested.labels, 2.0)
    assert {name: judged.scores[name] for name in CALIBRATED} == expected
    assert judged.scores["brier"] == tested.scores["brier"]
    without = judged_at(tested, None)
    assert {without.scores[name] for name in CALIBRATED} == {None}
    assert without.all_metrics["top1"] == 50.0


def test_a_test_part_of_another_kind_is_noted() -> None:
    kept = validation(*logits())
    calibration = calibration_of(kept)
    logits_nk, labels_n = logits(seed=1)
    shifted = validation(logits_nk, np.random.default_rng(0).permutation(labels_n))
    (note,) = calibration_notes(calibration, kept, shifted)
    assert note.reason.startswith("test part: the mean confidence")


def test_a_bound_is_noted() -> None:
    logits_nk, _ = logits()
    right = validation(logits_nk, logits_nk.argmax(axis=1))
    (note,) = calibration_notes(calibration_of(right), right, None)
    assert "nearly all predicted right" in note.reason


def test_an_image_without_finite_logits_has_no_confidence() -> None:
    logits_nk, labels_n = logits()
    logits_nk[3] = np.nan
    broken = validation(logits_nk, labels_n)
    calibration = calibration_of(broken)
    assert calibration is not None
    assert calibration.images == N - 1
    confidence_n = confidence_of(broken, calibration.temperature)
    assert np.flatnonzero(np.isnan(confidence_n)).tolist() == [3]
    assert calibration_notes(calibration, broken, None) == []


def test_several_labels_an_image_are_not_calibrated() -> None:
    kept = several_labels()
    assert calibration_of(kept) is None
    assert temperature_of(kept) is None
    (note,) = calibration_notes(None, kept, None)
    assert note.reason == MULTI_LABEL
    assert judged_at(kept, 2.0) is kept
    assert np.isnan(confidence_of(kept, 2.0)).all()
    assert gap_notes(kept, None, "val") == []
