"""The loaders of images in training, validation, teachers and previews."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.decoding.held import HeldPart
from trickbag.data.loading.loader import Loader
from trickbag.models.task_config import ClassificationConfig
from trickbag.train.head_fit import MOST_FITTED
from trickbag.train.statistics import statistics_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.source import Part
    from trickbag.data.teacher_logits import TeacherLogits
    from trickbag.train.machine.parallel import World
    from trickbag.train.plan.plan import Plan
    from trickbag.train.run import Run

__all__ = [
    "RunLoaders",
    "evaluation_batch_size",
    "evaluation_loader",
    "ordered_loader",
    "run_loaders",
    "train_loader",
]


def evaluation_batch_size(plan: Plan) -> int:
    """Return the number of images in a batch of a run's evaluation, and of its teachers."""
    part = plan.batch_size // plan.training.accumulate
    # Without gradients a larger batch fits than in training, whatever the parts of that are. Not of
    # images as large as detectors and segmenters have.
    return max(64, part) if isinstance(plan.task, ClassificationConfig) else max(1, part)


def train_loader(
    plan: Plan,
    part: Part,
    preprocessing: Preprocessing,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    teacher_logits: TeacherLogits | None = None,
    share: tuple[int, int] = (0, 1),
    channels_last: bool = False,
) -> Loader:
    """Return the loader of the training images of a plan.

    `batch_size` and `workers` are by default the plan's. `teacher_logits` come with their images.
    With `share` (rank, size) a batch has the rows of this process alone. `channels_last` is that of
    the loader.
    """
    return Loader(
        HeldPart.of(part) if plan.data.hold_images else part,
        plan.data,
        preprocessing,
        train=True,
        batch_size=batch_size or plan.batch_size,
        seed=plan.seed,
        repeats=plan.repeats,
        workers=plan.workers if workers is None else workers,
        # From pinned memory a batch is copied to the device while that computes.
        pin_memory=plan.device == "cuda",
        teacher_logits=teacher_logits,
        share=share,
        channels_last=channels_last,
    )


def ordered_loader(
    plan: Plan, part: Part, data: DataConfig, preprocessing: Preprocessing, *, random_crops: bool
) -> Loader:
    """Return a loader of training images in their order, for teachers.

    With `random_crops` the crops are those of training with `data`, else the preprocessing's.
    """
    return Loader(
        part,
        data,
        preprocessing,
        train=random_crops,
        in_order=True,
        batch_size=evaluation_batch_size(plan),
        seed=plan.seed,
        workers=plan.workers,
        pin_memory=plan.device == "cuda",
    )


def evaluation_loader(
    part: Part,
    data: DataConfig,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    workers: int,
    device: str,
    cached: bool = False,
) -> Loader:
    """Return a loader of images to evaluate; with `cached` it keeps the crops in memory."""
    return Loader(
        part,
        data,
        preprocessing,
        train=False,
        batch_size=batch_size,
        workers=workers,
        pin_memory=device == "cuda",
        cached=cached,
    )


@dataclass(frozen=True, kw_only=True)
class RunLoaders:
    """The loaders of a run: of each part the rows of this process.

    `statistics` has the training images, prepared as in evaluation, of which the first process
    computes the statistics of batch normalisation, and `head` those on which it fits a classifier.
    """

    train: Loader
    val: Loader
    test: Loader | None
    statistics: Loader | None = None
    head: Loader | None = None


@contextmanager
def run_loaders(run: Run, dataset: Dataset) -> Iterator[RunLoaders]:
    """Give the loaders of a run, and end their workers afterwards."""
    plan, world = run.plan, run.world

    def evaluated(part: Part, *, cached: bool = True) -> Loader:
        return evaluation_loader(
            part,
            plan.data,
            run.evaluation,
            batch_size=evaluation_batch_size(plan),
            workers=plan.workers,
            device=plan.device,
            cached=cached,
        )

    batch_size = evaluation_batch_size(plan)
    loaders = RunLoaders(
        train=train_loader(
            plan,
            dataset.train,
            run.pipeline.preprocessing,
            teacher_logits=run.teacher_logits,
            share=(world.rank, world.size),
            channels_last=run.pipeline.takes_channels_last,
        ),
        val=evaluated(_rows(dataset.val, world)),
        test=evaluated(_rows(dataset.test, world)) if dataset.test else None,
        statistics=evaluated(statistics_rows(dataset.train, batch_size))
        if run.phases.estimated and world.is_main
        else None,
        head=evaluated(statistics_rows(dataset.train, 1, MOST_FITTED), cached=False)
        if run.head_to_fit is not None and world.is_main
        else None,
    )
    try:
        yield loaders
    finally:
        for field in fields(loaders):
            loader = getattr(loaders, field.name)
            if loader is not None:
                loader.close()


def _rows(part: Part, world: World) -> Part:
    """Return the images of a part that this process evaluates."""
    if world.size == 1:
        return part
    return part.subset(np.arange(len(part))[world.rows(len(part))])
