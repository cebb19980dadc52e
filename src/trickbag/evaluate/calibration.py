"""Fit a temperature to a network that is trained already, and store it with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import Note, RunFailed, UserError
from trickbag.evaluate.average_temperature import (
    AverageTemperature,
    reason_not_kept,
    store_average_temperature,
)
from trickbag.evaluate.record import EvaluationRecord
from trickbag.locks import locked_folder, refusal
from trickbag.metrics.calibration_scores import Calibration, calibrated_scores
from trickbag.models.weights import store_temperature
from trickbag.models.weights_metadata import weights_file
from trickbag.models.weights_names import folder_of_run
from trickbag.settings import plain
from trickbag.train.folder.calibration import MULTI_LABEL, calibration_of
from trickbag.train.folder.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.trained import Trained

__all__ = ["Calibrated", "calibrate"]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A temperature that was fitted to the logits of an evaluation.

    `file` are the weights that it was stored with, of an average the file of its first run's folder
    that keeps it; None where it was not stored: a note says why.
    `scores` are the calibrated metrics of these images, by cross-fitting.
    """

    calibration: Calibration
    scores: dict[str, float | None]
    file: Path | None
    record: EvaluationRecord
    notes: tuple[Note, ...]


def calibrate(trained: Trained, evaluation: Evaluation) -> Calibrated:
    """Fit a temperature to the images of an evaluation of a network, and store it with its weights.

    It is stored if these are the validation images of the run in whose folder the weights lie, that
    of an average in the folder of its first run. The tensors of the file keep their bits. Raises
    UserError for several labels an image, and while another process trains in the folder, and
    RunFailed if the file cannot be written; it is then unchanged.
    """
    if trained.thresholds is not None:
        raise UserError(f"{trained.path}: {MULTI_LABEL}", "leave --calibrate out")
    validation = evaluation.classification
    assert validation.logits is not None
    calibration = calibration_of(validation)
    assert calibration is not None
    # The evaluation judges other images by the temperature that the weights had.
    scores = calibrated_scores(validation.logits, validation.labels)
    notes = [] if calibration.reason is None else [Note("calibration", None, calibration.reason)]
    file, reason = None, _not_stored(trained, evaluation)
    if reason is None and trained.members:
        entry = AverageTemperature.of(trained, evaluation)
        file = store_average_temperature(trained, entry)
    elif reason is None:
        file = weights_file(trained.path)
        _store(file, calibration.temperature)
        notes += _old_predictions(trained, calibration)
    else:
        notes.append(Note("calibration", None, f"the temperature is not stored: {reason}"))
    return Calibrated(
        calibration=calibration,
        scores=scores,
        file=file,
        record=_record(evaluation, calibration, scores, notes),
        notes=tuple(notes),
    )


def _not_stored(trained: Trained, evaluation: Evaluation) -> str | None:
    """Say why a temperature is not stored with the weights; None if it is."""
    if trained.members:
        reason = reason_not_kept(trained)
        if reason is not None:
            return reason
    elif trained.record is None:
        return "the weights do not lie in the folder of a run"
    if not evaluation.is_validation:
        return "it was fitted on other images than all of the run's validation part"
    return None


def _store(file: Path, temperature: float) -> None:
    folder = folder_of_run(file)

    def busy(holder: str) -> None:
        raise refusal(holder, folder, "RUN")

    # A run that trains there writes the same file.
    with locked_folder(folder, busy):
        try:
            store_temperature(file, temperature)
        except OSError as error:
            raise RunFailed(f"cannot write {file}: {error.strerror or error}") from error


def _old_predictions(trained: Trained, calibration: Calibration) -> list[Note]:
    """Say that the predictions which the run wrote have other confidences, if it wrote any."""
    file = RunFolder(folder_of_run(trained.path)).predictions
    before = trained.temperature
    same = before is not None and abs(before / calibration.temperature - 1) < 1e-6
    if same or not file.exists():
        return []
    reason = f"{file.name} of the run keeps the confidences with which it was written"
    return [Note("calibration", None, reason)]


def _record(
    evaluation: Evaluation,
    calibration: Calibration,
    scores: dict[str, float | None],
    notes: list[Note],
) -> EvaluationRecord:
    raw = {name: evaluation.metrics.get(name) for name in ("top1", "ece", "loss")}
    return EvaluationRecord(
        kind="calibration",
        data=evaluation.data,
        part=evaluation.part,
        images=evaluation.images,
        weights=evaluation.weights,
        epoch=evaluation.epoch,
        precision=evaluation.precision,
        metrics=raw | scores,
        details=plain(calibration),
        notes=tuple(notes),
    )
