"""The accuracy of an exported network beside that of the precisions in which its run computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trickbag.errors import TrickbagError
from trickbag.evaluate.evaluation import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.evaluate.trained import Trained
    from trickbag.models.config import Precision

__all__ = ["PrecisionScores", "precision_scores"]

_IMAGES = 1000
"""The number of validation images on which precisions are compared, at most."""


@dataclass(frozen=True, kw_only=True)
class PrecisionScores:
    """A score in percent by precision, on the same validation images of a run.

    `metric` is top1, or map if images have several labels; a score is None if it is undefined.
    """

    metric: str
    images: int
    scores: Mapping[Precision, float | None]


def precision_scores(trained: Trained) -> PrecisionScores | None:
    """Evaluate a network in float32, as a file computes, and in the other precisions of its run.

    These are the precision of training and the one in which the run reports. At most 1,000
    validation images are taken, spread over the part. None if all precisions are float32, if the
    weights have no run beside them, or if the run's data cannot be read any more.
    """
    if trained.plan is None:
        return None
    precisions: tuple[Precision, ...] = ("float32", trained.precision, trained.plan.precision)
    if set(precisions) == {"float32"}:
        return None
    metric = trained.plan.build_task().score
    scores: dict[Precision, float | None] = {}
    images = 0
    try:
        for precision in dict.fromkeys(precisions):
            evaluation = evaluate(replace(trained, precision=precision), limit=_IMAGES)
            scores[precision], images = evaluation.metrics[metric], evaluation.images
    except TrickbagError:  # the data are gone; the check on generated images still counts
        return None
    return PrecisionScores(metric=metric, images=images, scores=scores)
