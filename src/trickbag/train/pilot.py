"""The time of a whole run, forecast from some of its steps before a study spends more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.loading.loader import fits_cache
from trickbag.data.size import number_of_pixels
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.head_fit import MOST_FITTED
from trickbag.train.loaders import evaluation_batch_size, evaluation_loader, train_loader
from trickbag.train.machine.isolation import isolated
from trickbag.train.plan.resolve import resolve
from trickbag.train.statistics import MOST_IMAGES
from trickbag.train.trainer import train_on
from trickbag.train.validate import validate

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset
    from trickbag.data.loading.loader import Loader
    from trickbag.recipe import Recipe
    from trickbag.train.run import Run

__all__ = ["run_seconds"]

_WARM_STEPS = 2
"""Steps before the clock starts: the first ones allocate, compile and choose algorithms."""

_MOST_TIMED = 6
"""The most kinds of epochs that are timed."""

_VALIDATED = 64
"""Images of the validation part that are timed."""


def run_seconds(recipe: Recipe, dataset: Dataset, limit_s: float = 8.0) -> float:
    """Forecast the seconds of a run with its validations, in this process, by training a little.

    Trains as the run does for about `limit_s` in all, or for an epoch where that is shorter. If a
    trick changes the data by epoch, such as the image size, one epoch of each kind is timed; of
    more than 6 kinds 6 are timed, evenly over the image sizes, and the others count as the next
    larger one: a bound from above. Compiling, starting processes, checkpoints and the report are
    left out. Raises DoesNotApply and UserError as `fit`.
    """
    plan, _ = resolve(recipe, dataset, seed=0)
    with isolated(plan.threads, plan.device, deterministic=plan.training.deterministic):
        run, _ = build(plan, recipe.tricks, dataset)
        return _training_seconds(run, dataset, limit_s) + _validation_seconds(run, dataset)


def _training_seconds(run: Run, dataset: Dataset, limit_s: float) -> float:
    plan = run.plan
    data_by_epoch = plan.data_by_epoch(run.tricks)
    if len(data_by_epoch) == 1:
        data_by_epoch *= plan.training.epochs
    first_epochs: dict[DataConfig, int] = {}
    for epoch, data in enumerate(data_by_epoch):
        first_epochs.setdefault(data, epoch)
    kinds = sorted(first_epochs, key=lambda data: number_of_pixels(data.image_size or 0))
    places = np.unique(np.linspace(0, len(kinds) - 1, min(len(kinds), _MOST_TIMED)).astype(int))
    step_s: dict[DataConfig, float] = {}
    with train_loader(
        plan,
        dataset.train,
        run.pipeline.preprocessing,
        teacher_logits=run.teacher_logits,
        channels_last=run.pipeline.takes_channels_last,
    ) as loader:
        timed = 0.0
        # From the largest images down: what is not timed has the time of the next larger one.
        for place in range(len(kinds) - 1, -1, -1):
            data = kinds[place]
            if place in places:
                share_s = limit_s / len(places)
                timed = _step_seconds(run, loader, first_epochs[data], data, share_s)
            step_s[data] = timed
    return plan.steps_per_epoch * sum(step_s[data] for data in data_by_epoch)


def _step_seconds(run: Run, loader: Loader, epoch: int, data: DataConfig, limit_s: float) -> float:
    """Return the seconds of a step in an epoch, measured for `limit_s` or an epoch."""
    # The last epoch trains the most parts of the network: a bound from above for the others.
    run.begin_epoch(run.plan.training.epochs - 1)
    progress = Progress.start(run.device)
    progress.epoch = epoch
    warm_steps = _WARM_STEPS if run.plan.steps_per_epoch > 2 * _WARM_STEPS else 0
    started = _now(progress)
    for raw in loader.epoch(epoch, data=data):
        if progress.step == warm_steps:
            started = _now(progress)
        valid = run.task.weight(raw) / run.task.unit(raw) / run.plan.repeats
        train_on(run, raw, valid, progress)
        if progress.step > warm_steps and _now(progress) - started > limit_s:
            break
    return (_now(progress) - started) / max(1, progress.step - warm_steps)


def _now(progress: Progress) -> float:
    float(progress.loss_sum)  # waits for the device, which computes on while Python goes ahead
    return time.perf_counter()


def _validation_seconds(run: Run, dataset: Dataset) -> float:
    """Return the seconds of all validations of a run, and of the test part at its end."""
    plan = run.plan

    def image_seconds(cached: bool) -> tuple[float, bool]:
        """Return the time of an image, and whether all images can be kept in memory."""
        images = dataset.val.subset(np.arange(min(len(dataset.val), _VALIDATED)))
        with evaluation_loader(
            images,
            plan.data,
            run.evaluation,
            batch_size=evaluation_batch_size(plan),
            workers=0 if cached else plan.workers,
            device=plan.device,
            cached=cached,
        ) as loader:
            _validate(run, loader)  # starts worker processes, and fills the cache
            started = time.perf_counter()
            _validate(run, loader)
            seconds = (time.perf_counter() - started) / len(images)
            return seconds, fits_cache(loader, len(dataset.val))

    read_s, fits = image_seconds(cached=False)
    again_s = image_seconds(cached=True)[0] if fits else read_s
    # With an average the trained network is validated beside it.
    validations = plan.training.epochs * (1 if run.average is None else 2)
    tested = len(dataset.test) if dataset.test else 0
    passed = 0  # training images without gradients
    if run.phases.estimated:
        passed += plan.training.epochs * min(len(dataset.train), MOST_IMAGES)
    if run.head_to_fit is not None:
        passed += min(len(dataset.train), MOST_FITTED)
    all_validations_s = (read_s + again_s * (validations - 1)) * len(dataset.val)
    return all_validations_s + read_s * (tested + passed)


def _validate(run: Run, loader: Loader) -> None:
    validate(
        run.evaluated_network,
        loader,
        preprocessing=run.evaluation,
        task=run.task,
        device=run.device,
        autocast_dtype=run.eval_dtype,
        layout=run.plan.layout,
    )
