"""Variants that learned nothing: what they reach beside the best answer that ignores the image.

Accuracies are in percent, losses in nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Literal

from trickbag.study.analysis.notes import EffectNote, named
from trickbag.study.analysis.statistics import ALPHA, number
from trickbag.study.units import FoldSeed

if TYPE_CHECKING:
    from trickbag.study.analysis.outcomes import Cells, Metrics
    from trickbag.study.units import Unit

__all__ = [
    "ConstantAnswer",
    "ConstantAnswers",
    "chance_notes",
    "constant_answer",
    "constant_boxes",
    "constant_mask",
    "proportion_low",
]

_LOSS = "loss"
_BY_CLASS = ("balanced_accuracy", "macro_f1", "auc")
"""Metrics in which each class counts the same, so that the images of rare ones decide."""
_ACCURACIES = ("map50", "miou", "map", "top1")
"""What tells whether a variant is at chance where the outcome does not; of each task one."""
_PREFIXES = ("test_", "raw_", "last_")
"""What names metrics of another part, of other weights or of another epoch than the result's."""


@dataclass(frozen=True, kw_only=True)
class ConstantAnswer:
    """What the best answer that is the same for every image reaches on a part of the data.

    `images` are those with a label; `values` the metrics by name, without a prefix of their part.
    `balanced_images` are those of a balanced part whose mean over the classes would vary as much by
    chance: K^2 / sum_k 1/n_k for n_k images of each of K classes.
    """

    images: int
    values: Mapping[str, float]
    balanced_images: float = 0.0


ConstantAnswers = Mapping[Literal["val", "test"], ConstantAnswer]
"""The constant answers by the part of the data that is evaluated."""


def constant_answer(
    counts: Sequence[int], images: int, *, multi_label: bool = False
) -> ConstantAnswer:
    """Return the best constant answer for images of which `counts` have each class.

    With one label an image: always the largest class (`top1`, `balanced_accuracy`, `macro_f1`;
    `auc` with two classes), the five largest (`top5`), and the classes' frequencies as
    probabilities, whose loss is their entropy. With several labels an image: the frequencies too,
    with the summed entropies of the classes as `loss`, and their mean as `map`.
    """
    shares = [count / images for count in counts if count] if images else []
    if not shares:
        return ConstantAnswer(images=images, values={})
    if multi_label:
        loss = sum(map(_binary_entropy, shares))
        return ConstantAnswer(
            images=images, values={"map": 100 * sum(shares) / len(shares), _LOSS: loss}
        )
    largest = sorted(shares, reverse=True)
    values = {
        "top1": 100 * largest[0],
        "balanced_accuracy": 100 / len(shares),
        "macro_f1": 100 * 2 * largest[0] / (1 + largest[0]) / len(shares),
        _LOSS: -sum(share * math.log(share) for share in shares),
    }
    if len(counts) == 2:
        values["auc"] = 50.0
    if len(counts) > 5:
        values["top5"] = 100 * sum(largest[:5])
    balanced_images = len(shares) ** 2 / sum(1 / (share * images) for share in shares)
    return ConstantAnswer(images=images, values=values, balanced_images=balanced_images)


def constant_mask(pixels: Sequence[int], images: int) -> ConstantAnswer:
    """Return the best constant answer for images whose pixels are of each class so many times.

    Every pixel is of the largest class: its share is the pixel accuracy, and its intersection over
    union; those of all other classes that occur are zero.
    """
    shares = [count / sum(pixels) for count in pixels if count]
    if not shares:
        return ConstantAnswer(images=images, values={})
    values = {
        "miou": 100 * max(shares) / len(shares),
        "pixel_accuracy": 100 * max(shares),
        "mean_class_accuracy": 100 / len(shares),
    }
    return ConstantAnswer(images=images, values=values)


def constant_boxes(images: int) -> ConstantAnswer:
    """Return what a detector reaches that finds nothing in any image: a precision of zero."""
    return ConstantAnswer(images=images, values={"map50": 0.0, "map50_voc07": 0.0, "map": 0.0})


def _binary_entropy(share: float) -> float:
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)


def proportion_low(percent: float, images: float) -> float:
    """Return the lower end of the 95 % interval of a percentage of so many images.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    p, z = min(max(percent / 100, 0.0), 1.0), NormalDist().inv_cdf(1 - ALPHA / 2)
    centre = p + z * z / (2 * images)
    half = z * math.sqrt(p * (1 - p) / images + (z / (2 * images)) ** 2)
    return 100 * max(0.0, (centre - half) / (1 + z * z / images))


def chance_notes(
    labels: Sequence[str], model: str, cells: Cells, outcome: str, answers: ConstantAnswers
) -> list[EffectNote]:
    """Return a note on the variants at chance, and one on those whose loss says so.

    A run is at chance if its accuracy, less what so many images leave open, is not above that of
    the constant answer. It is the outcome where that is an accuracy, else that of the task. The
    loss of a run says so if it is not below that of the constant answer: a run can answer well and
    be so sure of its errors. Both are asked of each seed by itself, because a mean hides a failed
    run; on folds of the mean over the folds of a split, as each image is judged on one of them.
    """
    prefix = next((p for p in _PREFIXES if outcome.startswith(p)), "")
    answer = answers.get("test" if prefix == "test_" else "val")
    if answer is None or not answer.values:
        return []
    accuracy = outcome.removeprefix(prefix).removeprefix("best_")
    if accuracy == _LOSS or accuracy not in answer.values:
        accuracy = next((name for name in _ACCURACIES if name in answer.values), accuracy)
    notes = []
    for metric in (accuracy, _LOSS):
        if metric not in answer.values:
            continue
        values = {
            label: _values(cells.get((model, label), {}), prefix + metric) for label in labels
        }
        note = _note(metric, values, answer)
        notes += [note] if note is not None else []
    return notes


def _values(metrics_by_unit: Mapping[Unit, Metrics], metric: str) -> list[float]:
    """Return a metric of the runs that have it; on folds the mean of each split and seed."""
    runs: dict[object, list[float]] = {}
    for unit, metrics in metrics_by_unit.items():
        if (value := number(metrics.get(metric))) is not None:
            group = (unit.split, unit.number) if isinstance(unit, FoldSeed) else unit
            runs.setdefault(group, []).append(value)
    return [values[0] if len(values) == 1 else fmean(values) for values in runs.values()]


def _note(
    metric: str, values: Mapping[str, Sequence[float]], answer: ConstantAnswer
) -> EffectNote | None:
    failed = {
        label: [value for value in runs if _is_constant(metric, value, answer)]
        for label, runs in values.items()
    }
    failed = {label: runs for label, runs in failed.items() if runs}
    if not failed:
        return None
    names = [
        label if len(runs) == len(values[label]) else f"{label} ({_part(runs, values[label])})"
        for label, runs in failed.items()
    ]
    means = named([f"{fmean(runs):.4g}" for runs in failed.values()])
    constant = f"a constant answer has {answer.values[metric]:.4g}"
    if metric == _LOSS:
        reason = f"the loss of {named(names)} is not below that of a constant answer"
        return EffectNote(
            kind="constant_loss", reason=f"{reason}: {means}; {constant}", labels=tuple(failed)
        )
    verb = "is" if len(names) == 1 else "are"
    reason = f"{named(names)} {verb} at chance: {metric} {means}; {constant}"
    return EffectNote(
        kind="at_chance", reason=f"{reason} ({answer.images:,} images)", labels=tuple(failed)
    )


def _is_constant(metric: str, value: float, answer: ConstantAnswer) -> bool:
    if metric == _LOSS:
        return value >= answer.values[metric]
    images = answer.balanced_images if metric in _BY_CLASS else answer.images
    # At zero the interval's lower end is zero but for rounding.
    return value <= 0 or proportion_low(value, images) <= answer.values[metric]


def _part(failed: Sequence[float], runs: Sequence[float]) -> str:
    return f"{len(failed)} of {len(runs)} seeds"
