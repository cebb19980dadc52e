"""The metric that chooses the best epoch: whether the data define it, and whether it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError, choices
from trickbag.metrics.coco import COCO, MISSING, has_coco
from trickbag.metrics.metric import ALIASES, EVALUATED, defined_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.models.task_config import TaskConfig
    from trickbag.optim.config import TrainConfig
    from trickbag.tasks.task import Task

__all__ = ["order_notes", "require_score", "score_notes"]

_KAPPA = "quadratic_kappa"
_OF_BOTH_KINDS = ("auc", "auc_ovr", "sensitivity_at_95")
"""Metrics that compare the images of a class with those of others."""


def require_score(
    score: str | None, dataset: Dataset, task: Task | TaskConfig | None = None
) -> None:
    """Raise UserError for a score that is no metric of these images; None is the default one.

    Without a `task` it is classification.
    """
    if score is None:
        return
    multi_label, num_classes = dataset.val.labels.ndim == 2, len(dataset.classes)
    kind = "classification" if task is None else task.kind
    # A metric that is neither good nor bad chooses nothing.
    allowed = [n for n in defined_metrics(multi_label, num_classes, kind) if EVALUATED[n].better]
    if kind != "classification":
        if score not in allowed:
            raise UserError(
                f"training.score = {score!r}: no metric of {kind}",
                f"choose from {choices(allowed)}",
            )
        return
    if score not in allowed:
        labels = "several labels" if multi_label else "one label"
        known = f" ({ALIASES[score]!r} is the name)" if ALIASES.get(score) in allowed else ""
        raise UserError(
            f"training.score = {score!r}: no metric of images with {labels} and {num_classes} "
            f"classes{known}",
            f"choose from {choices(allowed)}",
        )
    if score in _OF_BOTH_KINDS and not multi_label and len({*dataset.val.labels.tolist()}) < 2:
        raise UserError(
            f"training.score = {score!r} is not defined: all validation images show one class",
            "give the validation part images of others, or choose another score",
        )


def score_notes(training: TrainConfig, dataset: Dataset, task: Task | None = None) -> list[Note]:
    """Return a note on a score that chooses nothing; UserError as `require_score`."""
    require_score(training.score, dataset, task)
    notes = order_notes(training.score, dataset.classes)
    if task is not None and task.kind == "detection" and not has_coco():
        if training.score in COCO:
            raise UserError(f"training.score = {training.score!r}: {MISSING}")
        notes.append(Note("choice", None, f"metrics of COCO are not computed: {MISSING}"))
    if training.score is None or training.keep == "best" or training.epochs == 1:
        return notes
    reason = (
        f"training.score = {training.score} chooses no weights: training.keep = last keeps those "
        "of the last epoch"
    )
    return [*notes, Note("choice", None, reason)]


def order_notes(metric: str | None, classes: Sequence[str]) -> list[Note]:
    """Say that kappa's grades are not in the order of their numbers: names are sorted as text.

    `metric` may have a prefix, as in `test_quadratic_kappa`. There is no note of other metrics.
    """
    if metric is None or not metric.endswith(_KAPPA):
        return []
    if not all(name.isdecimal() for name in classes):
        return []
    if [*map(int, classes)] == sorted(map(int, classes)):
        return []
    reason = (
        f"{_KAPPA} takes the classes for grades in the order {', '.join(classes[:4])}, ...: "
        "write their numbers with as many digits each, such as 02 and 10"
    )
    return [Note("data", None, reason)]
