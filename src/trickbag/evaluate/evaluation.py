"""Metrics of a trained network on labelled images: those of its run, or any others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from trickbag.data.loading.loader import default_workers
from trickbag.data.source import DataError
from trickbag.errors import Note, RunFailed
from trickbag.evaluate.average import require_no_folds, split_notes
from trickbag.evaluate.selection import select
from trickbag.tasks.classification import Validation
from trickbag.train.folder.calibration import gap_notes, judged_at
from trickbag.train.loaders import evaluation_loader
from trickbag.train.machine.isolation import isolated
from trickbag.train.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trickbag.data.config import DataConfig
    from trickbag.data.source import Part
    from trickbag.evaluate.selection import Selection
    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.confusion import Confusions
    from trickbag.metrics.metric import TaskKind
    from trickbag.metrics.score_records import AnyScore
    from trickbag.models.config import Precision
    from trickbag.tasks.task import TaskValidation

__all__ = ["Evaluation", "evaluate", "require_mostly_read"]

JudgedBy = Literal["cross_fitting", "temperature"]
"""What the calibrated metrics of an evaluation are of."""

_NOT_FINITE = "try --precision float32, or give the weights of another run"
"""What to do about a network without finite logits."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of a network on one part of a source.

    `images` is their number. `weights` names the weights with their epoch, and `precision` is the
    type of numbers in which the network computed. `metrics` are those of
    `trickbag.metrics.metric.EVALUATED` for the task, with one label or several labels an image, in
    percent, `loss` in nats, None where undefined; several labels are predicted at the thresholds of
    the run. `per_class` has the scores of each class by its name. `left_out` are the files of the
    source that could not be used. `intervals` are the 95 % intervals over images of metrics, by
    name, and `confusions` which classes are taken for which others; None with several labels an
    image and in other tasks than classification. `not_finite` of the images have a logit that is
    not finite: none of them counts as right, and a note says so. `tta` names the views of test-time
    augmentation. `temperature` is the one of the weights, by which predicted confidences are
    calibrated, None without one. `judged_by` says of what the calibrated metrics are: on the
    validation images of the run, on which the temperature was fitted, of temperatures that are
    fitted anew by cross-fitting; on other images of the temperature of the weights. It is None
    where there are no such metrics. `is_validation`: the images are all those of the run's
    validation part. `validation` has the predictions for each image, of a classifier with their
    logits, and `shown` the part that was evaluated, to whose places they refer; both are no part of
    the plain data. `task` is what the network was trained for.
    """

    data: str
    part: str
    images: int
    weights: str
    epoch: int | None
    precision: Precision
    metrics: Mapping[str, float | None]
    left_out: tuple[DataError, ...]
    notes: tuple[Note, ...]
    per_class: Mapping[str, AnyScore] = field(default_factory=dict)
    not_finite: int = 0
    tta: str | None = None
    temperature: float | None = None
    judged_by: JudgedBy | None = None
    is_validation: bool = False
    validation: TaskValidation | None = field(default=None, repr=False, compare=False)
    shown: Part | None = field(default=None, repr=False, compare=False)
    task: TaskKind = "classification"
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    confusions: Confusions | None = None

    @property
    def classification(self) -> Validation:
        """The predictions of a classifier with their logits; TypeError for another task."""
        if not isinstance(self.validation, Validation):
            raise TypeError("these are no predictions of classes of whole images")
        return self.validation

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain data, ready for JSON; the notes as text and as values."""
        of_classifier = {
            "tta": self.tta,
            "temperature": self.temperature,
            "calibrated_by": self.judged_by,
        }
        is_classifier = self.task == "classification"
        data: dict[str, Any] = {
            **({} if is_classifier else {"task": self.task}),
            "data": self.data,
            "part": self.part,
            "images": self.images,
            "not_finite": self.not_finite,
            "weights": self.weights,
            "epoch": self.epoch,
            "precision": self.precision,
            **(of_classifier if is_classifier else {}),
            "metrics": dict(self.metrics),
            # As before the metrics had a place of their own.
            **self.metrics,
        }
        data["intervals"] = {name: list(interval) for name, interval in self.intervals.items()}
        if is_classifier:
            data["confusion"] = None if self.confusions is None else self.confusions.to_dict()
        if self.per_class:
            data["classes"] = {name: score.to_dict() for name, score in self.per_class.items()}
        data["left_out"] = [{"file": file, "reason": reason} for file, reason in self.left_out]
        data["warnings"] = [note.text for note in self.notes]
        data["notes"] = [note.to_dict() for note in self.notes]
        return data


def evaluate(
    trained: Trained,
    *,
    data: str | None = None,
    image_root: str | tuple[str, ...] | None = None,
    part: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a trained network on each image once, with the preprocessing of its run.

    `evaluate.selection.select` says which images these are; with `limit` at most so many of them,
    spread over the part. `progress(done, total)` is called while
    files are checked. Raises UserError if the data cannot be used or have a class that the network
    does not know, and RunFailed if more than `data.max_bad_fraction` of the images cannot be read,
    or the network gives finite logits for none.
    """
    selection = select(trained, data=data, image_root=image_root, part=part, progress=progress)
    if selection.is_validation:
        require_no_folds(trained)
    images, chosen = selection.part, []
    if limit is not None and len(images) > limit:
        chosen = [Note("choice", None, f"{limit:,} of {len(images):,} images are evaluated")]
        # Spread: the images of a folder are in the order of their classes.
        images = images.subset(np.linspace(0, len(images) - 1, limit).astype(int))
    validation, unread = _validated(trained, selection, images, batch_size, workers)
    require_mostly_read(unread, len(images), selection.data)
    images_read = len(validation.index)
    notes = split_notes(trained) if selection.is_validation else []
    notes += _not_finite_notes(validation.not_finite, images_read, trained)
    judged_by: JudgedBy | None = None
    confusions = None
    if isinstance(validation, Validation):
        validation, judged_by = _judged(validation, trained, selection)
        way_out = trained.way_to_calibrate
        notes += gap_notes(validation, trained.temperature, selection.name, way_out)
        confusions = validation.confusions(trained.classes)
    return Evaluation(
        data=selection.data.source,
        part=selection.name,
        images=images_read,
        weights=trained.weights_title,
        epoch=trained.epoch,
        precision=trained.precision,
        metrics=validation.all_metrics,
        left_out=selection.left_out + unread,
        notes=(*trained.notes, *selection.notes, *chosen, *notes),
        per_class=dict(zip(trained.classes, validation.per_class(), strict=True)),
        not_finite=validation.not_finite,
        tta=trained.tta,
        temperature=trained.temperature,
        judged_by=judged_by,
        is_validation=selection.is_validation and not chosen,
        validation=validation,
        shown=images,
        task=trained.task.kind,
        intervals=validation.intervals(),
        confusions=confusions,
    )


def _validated(
    trained: Trained,
    selection: Selection,
    images: Part,
    batch_size: int | None,
    workers: int | None,
) -> tuple[TaskValidation, tuple[DataError, ...]]:
    """Return the predictions for images with their metrics, and the files that were not read."""
    loader = evaluation_loader(
        images,
        selection.data,
        trained.preprocessing,
        batch_size=batch_size or trained.batch_size,
        workers=default_workers(images, trained.device.type) if workers is None else workers,
        device=trained.device.type,
    )
    # As many threads as the run had: another number gives other last bits.
    threads = torch.get_num_threads() if trained.plan is None else trained.plan.threads
    with loader, isolated(threads, trained.device.type):
        validation = validate(
            trained.network,
            loader,
            preprocessing=trained.preprocessing,
            task=trained.build_task(),
            device=trained.device,
            autocast_dtype=trained.autocast_dtype,
            layout=trained.layout,
            thresholds=trained.thresholds,
            keep_logits=True,
        )
    # A signal's name would be a text: there is nothing here that stops it.
    assert not isinstance(validation, str)
    return validation, tuple(DataError(name, reason) for name, reason in loader.errors.items())


def _judged(
    validation: Validation, trained: Trained, selection: Selection
) -> tuple[Validation, JudgedBy | None]:
    """Return a validation with calibrated metrics, and of what they are."""
    if trained.thresholds is not None:
        return validation, None
    if selection.is_validation:
        return validation, "cross_fitting"
    judged = judged_at(validation, trained.temperature)
    return judged, None if trained.temperature is None else "temperature"


def _not_finite_notes(not_finite: int, images: int, trained: Trained) -> list[Note]:
    """Say how many images have no finite logits; RunFailed if no image has any."""
    if not not_finite:
        return []
    outputs = "scores" if trained.task.kind == "detection" else "logits"
    reason = f"{trained.weights_title} gives {outputs} that are not finite for"
    if not_finite == images:
        raise RunFailed(f"{reason} all {images:,} images", _NOT_FINITE)
    return [Note("weights", None, f"{reason} {not_finite:,} of {images:,} images: none is right")]


def require_mostly_read(unread: Sequence[DataError], total: int, data: DataConfig) -> None:
    """Raise RunFailed if more than `data.max_bad_fraction` of `total` images cannot be read."""
    if len(unread) > data.max_bad_fraction * total:
        raise RunFailed(
            f"{len(unread)} of {total} images of {data.source} cannot be read, such as "
            f"{unread[0].file} ({unread[0].reason}): more than data.max_bad_fraction = "
            f"{data.max_bad_fraction:g}",
            "repair or remove them",
        )
