"""The calibration of a run at its end: a temperature for its weights, and how good it is.

Shapes: n images of a part, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trickbag.errors import Note
from trickbag.metrics.calibration_scores import CALIBRATED, Calibration, calibrated_scores
from trickbag.metrics.confidence_gap import ConfidenceGap
from trickbag.metrics.probabilities import Confidences
from trickbag.metrics.temperature import calibrated_logits, fit_temperature
from trickbag.tasks.classification import Validation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickbag.tasks.task import TaskValidation

__all__ = [
    "MULTI_LABEL",
    "calibration_notes",
    "calibration_of",
    "confidence_of",
    "gap_notes",
    "judged_at",
    "temperature_of",
]

MULTI_LABEL = "the probabilities of several labels an image are not calibrated"
"""What there is to know about such networks."""


def calibration_of(validation: TaskValidation) -> Calibration | None:
    """Fit a temperature to the logits of a validation.

    None with several labels an image, and for other tasks than classification.
    """
    if not isinstance(validation, Validation) or validation.logits is None:
        return None
    if validation.multi_label is not None:
        return None
    return Calibration.of(validation.logits, validation.labels)


def temperature_of(validation: TaskValidation) -> float | None:
    """Return the temperature of `calibration_of` alone, without its judgement."""
    if not isinstance(validation, Validation) or validation.logits is None:
        return None
    if validation.multi_label is not None:
        return None
    return fit_temperature(validation.logits, validation.labels).value


def judged_at(validation: Validation, temperature: float | None) -> Validation:
    """Return a validation whose calibrated metrics are those at a temperature of other images.

    None: there is no temperature, and these metrics are None.
    """
    if validation.logits is None or validation.multi_label is not None:
        return validation
    scores: dict[str, float | None] = dict.fromkeys(CALIBRATED)
    if temperature is not None:
        scores = calibrated_scores(validation.logits, validation.labels, temperature)
    return replace(
        validation,
        scores=validation.scores | scores,
        cross_fitted=False,
        temperature=temperature,
    )


def confidence_of(validation: Validation, temperature: float | None) -> NDArray[np.float64]:
    """Return the confidence (n,) of each image, of logits divided by a temperature if there is one.

    It is NaN for an image with a logit that is not finite, and with several labels an image.
    """
    if temperature is None or validation.logits is None or validation.multi_label is not None:
        return validation.confidence
    logits_nk = calibrated_logits(validation.logits, temperature)
    return Confidences.of(logits_nk, validation.labels).confidence


def calibration_notes(
    calibration: Calibration | None, kept: TaskValidation, tested: TaskValidation | None
) -> list[Note]:
    """Say what is not as it should be with the confidences of a run's weights."""
    if not isinstance(kept, Validation):
        return []
    if calibration is None:
        return [Note("calibration", None, MULTI_LABEL)] if kept.multi_label is not None else []
    notes = [] if calibration.reason is None else [Note("calibration", None, calibration.reason)]
    notes += gap_notes(kept, calibration.temperature, "validation")
    if isinstance(tested, Validation):
        notes += gap_notes(tested, calibration.temperature, "test")
    return notes


def gap_notes(
    validation: Validation, temperature: float | None, part: str, way_out: str = ""
) -> list[Note]:
    """Say where the confidences that are printed are far from the accuracy, more than by chance."""
    confidence_n = confidence_of(validation, temperature)
    right_n = validation.labels == validation.predicted
    gap = None if right_n.ndim > 1 else ConfidenceGap.of(confidence_n, right_n)
    if gap is None or not gap.is_large:
        return []
    behind = f"; {way_out}" if way_out else ""
    return [Note("calibration", None, f"{part} part: {gap.text}{behind}")]
