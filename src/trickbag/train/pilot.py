"""The time of one epoch, measured on some of its steps before a study spends more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.loading.loader import Loader
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.plan import resolve
from trickbag.train.step import to_device, train_step
from trickbag.train.validate import validate

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe

__all__ = ["epoch_seconds"]

_WARM = 2
"""Steps before the clock starts: the first ones allocate, compile and choose algorithms."""


def epoch_seconds(recipe: Recipe, dataset: Dataset, limit_s: float = 8.0) -> float:
    """Measure the seconds of one epoch with its validation, in this process and with the recipe's threads.

    Trains for `limit_s` or an epoch, whichever is shorter, and scales up. Raises DoesNotApply and
    UserError as `fit`.
    """
    threads = torch.get_num_threads()
    plan, _ = resolve(recipe, dataset, seed=0)
    torch.set_num_threads(plan.threads)
    try:
        devices = [torch.cuda.current_device()] if plan.device == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            run, _ = build(plan, recipe.tricks, dataset)
            progress = Progress.start(run.device)

            def wait() -> float:
                float(progress.loss_sum)  # waits for the device
                return time.perf_counter()

            run.network.train()
            crops = run.pipeline.preprocessing
            how: dict[str, Any] = {"seed": 0, "workers": 0}
            often: dict[str, Any] = how | {
                "train": True,
                "batch_size": plan.batch_size,
                "repeats": plan.repeats,
            }
            loader = Loader(
                dataset.train, plan.data, crops, teacher_logits=run.teacher_logits, **often
            )
            warm = _WARM if plan.steps_per_epoch > 2 * _WARM else 0
            started, steps = wait(), 0
            for step, raw in enumerate(loader.epoch(0)):
                if step == warm:
                    started = wait()
                lr = plan.lr(step)
                draws = run.pipeline.draw(len(raw.images), 0, plan.timestamp(0, step), run.device)
                train_step(
                    run,
                    to_device(raw, run.device),
                    draws,
                    lr,
                    int(raw.valid.sum()) / plan.repeats,
                    progress,
                )
                steps = step + 1
                if steps > warm and wait() - started > limit_s:
                    break
            training = (wait() - started) / max(1, steps - warm) * plan.steps_per_epoch
            few = dataset.val.subset(np.arange(min(len(dataset.val), 256)))
            some = Loader(few, plan.data, run.evaluation, train=False, batch_size=64, **how)
            started = time.perf_counter()
            validate(
                run.network,
                some,
                preprocessing=run.evaluation,
                num_classes=plan.model.num_classes,
                device=run.device,
                autocast=run.autocast,
                layout=plan.layout,
            )
            return training + (time.perf_counter() - started) / len(few) * len(dataset.val)
    finally:
        torch.set_num_threads(threads)
