"""The confidence from which on the predictions of a network are accepted, kept with its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import Note, UserError
from trickbag.evaluate.record import EvaluationRecord, read_records
from trickbag.metrics.probabilities import log_softmax
from trickbag.metrics.selective import Acceptance, choose_threshold, risk_coverage
from trickbag.models.weights_names import folder_of_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.trained import Trained

__all__ = ["selective_record", "stored_threshold"]

_ROWS = 4096


def selective_record(trained: Trained, evaluation: Evaluation, target: float) -> EvaluationRecord:
    """Choose the threshold at which `target` percent of the accepted images are right.

    Confidences are those of predictions: of the temperature of the weights, if they have one.
    `metrics.selective.choose_threshold` chooses; a note says where the threshold is not sure, or is
    not there. Raises UserError for several labels an image.
    """
    validation = evaluation.classification
    if trained.thresholds is not None or validation.logits is None:
        raise UserError(
            f"--target-accuracy: {trained.path} gives an image all labels that reach their "
            "thresholds, and no single confidence",
            "leave it out",
        )
    confidence_N, predicted_N = _confidences(validation.logits, trained.temperature)
    curve = risk_coverage(confidence_N, predicted_N == validation.labels)
    acceptance = choose_threshold(curve, target)
    return EvaluationRecord(
        kind="selective",
        data=evaluation.data,
        part=evaluation.part,
        images=evaluation.images,
        weights=evaluation.weights,
        epoch=evaluation.epoch,
        precision=evaluation.precision,
        metrics={
            "aurc": evaluation.metrics.get("aurc"),
            "threshold": acceptance.threshold,
            "coverage": acceptance.coverage,
            "accuracy": acceptance.accuracy,
            "accuracy_low": acceptance.accuracy_low,
        },
        settings={
            "target_accuracy": target,
            "confidence": acceptance.confidence,
            "temperature": trained.temperature,
            "tta": trained.tta,
        },
        details={
            "basis": acceptance.basis,
            "accepted": acceptance.accepted,
            "curve": [list(point) for point in curve.curve()],
        },
        notes=tuple(_notes(acceptance, evaluation)),
    )


def _confidences(
    logits_NK: NDArray[np.float32], temperature: float | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the confidence and the predicted class of each image; NaN and -1 if not finite."""
    confidence_N = np.empty(len(logits_NK))
    for start in range(0, len(logits_NK), _ROWS):
        logits = logits_NK[start : start + _ROWS].astype(np.float64) / (temperature or 1.0)
        confidence_N[start : start + _ROWS] = np.exp(log_softmax(logits).max(axis=1))
    predicted_N = np.where(np.isfinite(confidence_N), logits_NK.argmax(axis=1), -1)
    return confidence_N, predicted_N


def _notes(acceptance: Acceptance, evaluation: Evaluation) -> list[Note]:
    """Say what is not sure of a threshold, or that there is none."""
    reasons = []
    images = f"{acceptance.images:,} image{'s' * (acceptance.images != 1)}"
    target = f"{acceptance.target:g} %"
    if acceptance.basis == "none":
        reasons.append(f"no threshold gives an accuracy of {target} on {images}")
    elif acceptance.basis == "estimate":
        needed = acceptance.needed
        more = "" if needed is None else f"; {needed:,} accepted images without a mistake show it"
        reasons.append(
            f"the threshold gives {target} on {images}, but may give less on others: with a "
            f"confidence of {acceptance.confidence:g} % above {acceptance.accuracy_low:.1f} %{more}"
        )
    if evaluation.part == "train":
        reasons.append(
            "the threshold was chosen on training images, of which a network is surer, and more "
            "often rightly so, than of others"
        )
    return [Note("choice", None, reason) for reason in reasons]


def stored_threshold(trained: Trained) -> float:
    """Read the threshold of the weights from the folder of their run.

    Raises UserError if the folder has none, or one of other weights or another temperature.
    """
    option = "--reject-below stored"
    if trained.record is None:
        raise UserError(
            f"{option}: {trained.path} does not lie in the folder of a run",
            "give the folder of a run, or a number from 0 to 1",
        )
    folder = folder_of_run(trained.path)
    way_out = f"`trickbag evaluate {trained.path} --target-accuracy 99` chooses one"
    record = read_records(folder).get("selective")
    if record is None:
        raise UserError(f"{option}: {folder} has no threshold yet", way_out)
    if record.weights != trained.weights_title:
        raise UserError(
            f"{option}: the threshold in {folder} is of {record.weights}, and predictions are of "
            f"{trained.weights_title}",
            way_out,
        )
    for name in ("temperature", "tta"):
        before, now = record.settings.get(name), getattr(trained, name)
        if before != now:
            raise UserError(
                f"{option}: the threshold in {folder} was chosen with {name} = {before}, and "
                f"predictions are made with {now}",
                way_out,
            )
    threshold = record.metrics.get("threshold")
    if threshold is None:
        raise UserError(
            f"{option}: the evaluation in {folder} has no threshold, as none gave the accuracy",
            "evaluate with a lower --target-accuracy, or give a number from 0 to 1",
        )
    return threshold
