"""The gain and the price of test-time augmentation: each of its names on the same images.

Shapes: N images.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError, shown
from trickbag.evaluate.average import AveragedNetwork, averaged
from trickbag.evaluate.evaluation import evaluate
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.views import TTA
from trickbag.metrics.paired import paired_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.trained import Trained

__all__ = ["TtaGain", "tta_gains", "tta_record"]


@dataclass(frozen=True, kw_only=True)
class TtaGain:
    """What a test-time augmentation gives, and what it costs.

    `views` is the number of views of an image, of all networks of an average together. `top1` is in
    percent; `gain` is that less the top-1 without augmentation, `low` and `high` its 95 % interval
    over the images. `speed` is the throughput of the network as a multiple of that without
    augmentation, the reading of images left out; None where it was not measured.
    """

    name: str
    views: int
    top1: float
    gain: float
    low: float
    high: float
    speed: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the gain as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> TtaGain:
        """Read what `to_dict` returned; UserError for anything else."""
        values = data if isinstance(data, dict) else {}
        numbers = [values.get(name) for name in ("views", "top1", "gain", "low", "high")]
        speed = values.get("speed")
        is_valid = (
            set(values) == {field.name for field in dataclasses.fields(cls)}
            and isinstance(values["name"], str)
            and all(_is_number(value) for value in numbers)
            and (speed is None or _is_number(speed))
        )
        if not is_valid:
            raise UserError(f"{shown(data)} is no gain of test-time augmentation")
        return cls(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    before, gains = evaluation.validation, []
    assert before is not None
    right = before.predicted == before.labels
    members = trained.members or (trained,)
    for name in TTA:
        augmented = averaged(members, name)
        after = evaluate(augmented, **options).validation
        assert after is not None
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
