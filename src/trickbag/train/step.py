"""One training step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trickbag.data.loading.raw_batch import RawBatch
from trickbag.functional.device import copied
from trickbag.train.out_of_memory import with_smaller_parts

if TYPE_CHECKING:
    from trickbag.train.checkpoint import Progress
    from trickbag.train.pipeline import Draws
    from trickbag.train.run import Run
    from trickbag.tricks.trick import Timestamp

__all__ = ["to_device", "train_step"]


def to_device(raw: RawBatch, device: torch.device) -> RawBatch:
    """Copy a batch to the device, without waiting if its memory is pinned."""
    return RawBatch(*(copied(tensor, device) for tensor in raw))


def train_step(
    run: Run, raw: RawBatch, draws: Draws, lr: float, valid: float, progress: Progress
) -> None:
    """Update the network once, on an effective batch, by all processes together.

    `raw` and `draws` are what this process needs of the batch. `valid` is the number of its images
    that count, see `train_on`, and not always whole. The sums in `progress` are over this process's
    rows.

    Nothing here waits for the device: the sums of loss and accuracy, and the first step whose loss
    was not finite, stay there until somebody reads them.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
    step = progress.epoch * run.plan.steps_per_epoch + progress.step
    timestamp = run.plan.timestamp(progress.epoch, progress.step)
    run.plan.training.step(
        run.network,
        backward=partial(_backward, run, raw, draws, timestamp, valid, progress, step),
        again=partial(_backward, run, raw, draws, timestamp, valid),
    )
    if run.plan.training.clip_norm is not None:
        # Clipped before this, fp16 gradients would be bounded together with their loss scale.
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.network.parameters(), run.plan.training.clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    if run.average is not None:
        run.average.update(step)
    progress.step += 1


def _backward(
    run: Run,
    raw: RawBatch,
    draws: Draws,
    timestamp: Timestamp,
    valid: float,
    progress: Progress | None = None,
    step: int = 0,
) -> None:
    """Set the gradients of the parameters, which have none, to those of the effective batch.

    `progress` counts this process's rows, as step `step` of the run; None counts nothing.
    """
    counts: list[tuple[Tensor, Tensor, Tensor]] = []

    def compute() -> None:
        counts.clear()
        if run.half_weights is not None:
            run.half_weights.take()
        for loss, outputs, targets in run.forward_micro_batches(raw, draws, timestamp):
            # The mean over the images of the whole batch that could be read: a micro-batch counts
            # by its size.
            loss = loss * (len(outputs) / max(1, valid))
            torch.autograd.backward(run.scaler.scale(loss))
            if run.half_weights is not None:
                run.half_weights.give_gradients()
            if progress is not None:
                counts.append((loss.detach(), *run.task.count(outputs, targets)))

    with_smaller_parts(run, timestamp, compute)
    # Counted once all parts are done: those of a pass that failed do not count.
    if progress is not None:
        for loss, right, counted in counts:
            progress.loss_sum += loss * valid
            progress.correct += right
            progress.count += counted
            bad = torch.isfinite(loss).logical_not() & (progress.first_bad < 0)
            progress.first_bad.masked_fill_(bad, step)
    run.world.all_reduce_gradients(run.network)
