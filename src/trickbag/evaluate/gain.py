"""The gain and the price of test-time augmentation: each of its names on the same images.

Shapes: N images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError
from trickbag.evaluate.average import AveragedNetwork, averaged
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.tta_gain import TtaGain
from trickbag.evaluate.views import TTA
from trickbag.metrics.paired import paired_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.trained import Trained

__all__ = ["tta_gains", "tta_record"]


def tta_gains(trained: Trained, evaluation: Evaluation, **options: Any) -> list[TtaGain]:
    """Measure every test-time augmentation on the images of an evaluation without one.

    `options` are those of `evaluate.evaluation.evaluate` with which that was made. Raises UserError
    for a network that gives an image several labels, whose images are not right or wrong.
    """
    if trained.thresholds is not None:
        raise UserError(
            f"{trained.path} gives several labels an image, and the gain is one of top-1",
            "evaluate with one --tta NAME at a time",
        )
    before, gains = evaluation.classification, []
    right = before.predicted == before.labels
    members = trained.members or (trained,)
    for name in TTA:
        augmented = averaged(members, name)
        after = evaluate(augmented, **options).classification
        # Both have read the same images, in the same order.
        difference = paired_difference(after.predicted == after.labels, right)
        gains.append(
            TtaGain(
                name=name,
                views=_views(augmented),
                top1=float(100 * np.mean(after.predicted == after.labels)),
                gain=100 * difference.mean,
                low=100 * difference.low,
                high=100 * difference.high,
                speed=_ratio(after.throughput, before.throughput),
            )
        )
    return gains


def _views(augmented: Trained) -> int:
    assert isinstance(augmented.network, AveragedNetwork)
    return augmented.network.views


def _ratio(after: float | None, before: float | None) -> float | None:
    return after / before if after is not None and before else None


def tta_record(evaluation: Evaluation, gains: Sequence[TtaGain]) -> EvaluationRecord:
    """Return the record of all gains on the images of an evaluation."""
    return EvaluationRecord(
        kind="tta",
        data=evaluation.data,
        part=evaluation.part,
        images=evaluation.images,
        weights=evaluation.weights,
        epoch=evaluation.epoch,
        precision=evaluation.precision,
        metrics={
            "top1": evaluation.metrics.get("top1"),
            **{f"top1_{gain.name}": gain.top1 for gain in gains},
        },
        settings={"tta": "all"},
        details={"gains": [gain.to_dict() for gain in gains]},
        notes=evaluation.notes,
    )
