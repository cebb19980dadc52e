"""Smaller micro-batches where the memory of a device runs out: the same batch, in more parts.

Half of a micro-batch at a time needs about half of the memory, apart from the weights. The batch is
prepared as a whole before it is divided, so that its random crops, changes and mixing partners stay
what they were. What is computed over a micro-batch does not: see `_changes`.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from trickbag.data.size import height_width
from trickbag.errors import Note, RunFailed, first_line
from trickbag.train.batch_norms import single_value_norms
from trickbag.train.run import BatchDivision

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.train.checkpoint import Progress
    from trickbag.train.run import Run
    from trickbag.tricks.trick import Timestamp

__all__ = ["division_notes", "follow_division", "with_smaller_parts"]

WAY_OUT = (
    "take a smaller --image-size or --model, or --set training.gradient_checkpointing=true; a "
    "--batch-size that is smaller no longer helps"
)


def with_smaller_parts(run: Run, timestamp: Timestamp, compute: Callable[[], None]) -> None:
    """Call `compute`, which sets the gradients of a batch, until the memory is enough for it.

    Each time that the memory of the device runs out the batch is divided into twice as many parts,
    from this step on. `compute` is called anew with the network as it was, without gradients.
    Raises RunFailed where a part is a single image, or would be too small for a batch
    normalisation.
    """
    step = timestamp.epoch * run.plan.steps_per_epoch + timestamp.step
    while True:
        run.running_state.keep()
        try:
            compute()
            return
        except torch.OutOfMemoryError as error:
            # Without the state of the whole device, which torch adds.
            reason = first_line(error).partition(". GPU ")[0]
        # Outside of the handler: the frames of the error hold the tensors of the failed pass.
        run.running_state.restore()
        run.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if run.device.type == "cuda":
            torch.cuda.empty_cache()
        run.divide(BatchDivision(step, _more_parts(run, step, reason)))


def follow_division(run: Run, progress: Progress, parts: int) -> None:
    """Divide batches as another process of the run does since its memory ran out."""
    if parts > run.parts:
        step = progress.epoch * run.plan.steps_per_epoch + progress.step
        run.divide(BatchDivision(step, parts))


def _more_parts(run: Run, step: int, reason: str) -> int:
    """Return twice the parts; RunFailed if there can be no more."""
    plan, parts = run.plan, run.parts
    images = run.rows
    size = f"{plan.data.pixels.count}x" + "x".join(map(str, height_width(plan.image_size)))
    at_once = -(-images // parts)
    what = f"the memory ran out at step {step + 1} with {_images(at_once)} of {size} at a time"
    if at_once == 1:
        raise RunFailed(f"{what}, which is the least ({reason})", WAY_OUT)
    if plan.training.sync_batch_norm and run.world.size > 1:
        raise RunFailed(
            f"{what} ({reason}); synchronised BatchNorm needs the same parts in all processes",
            f"start again with --set training.accumulate={2 * parts}",
        )
    parts = min(2 * parts, images)
    if images // parts == 1 and (singles := _single_value_norms(run)):
        raise RunFailed(
            f"{what} ({reason}); of one image its BatchNorm {singles[0]} would see one value a "
            "channel, which has no variance",
            WAY_OUT,
        )
    return parts


def _single_value_norms(run: Run) -> list[str]:
    """Name the batch normalisations in training that need more than one image."""
    plan = run.plan
    shape = (1, plan.data.pixels.count, *height_width(plan.image_size))
    return single_value_norms(run.network, torch.empty(shape, device="meta"))


def _changes(run: Run) -> str:
    """Say what the numbers of a run owe to the parts of a batch, as the end of a sentence."""
    changed = []
    if any(isinstance(m, _BatchNorm) and m.training for m in run.network.modules()):
        changed.append("batch normalisation takes its statistics of the images of a part")
    if run.layer_streams.draws or run.task.draws:
        changed.append("layers that draw random numbers draw others for each part")
    if not changed:
        return "the numbers stay the same but for the order of sums"
    return f"the numbers are not those of a run with enough memory: {' and '.join(changed)}"


def division_notes(run: Run) -> list[Note]:
    """Return a note for each time that the parts of a batch became smaller."""
    plan = run.plan
    images = run.rows
    notes, before = [], plan.training.accumulate
    for step, parts in run.divisions:
        reason = (
            f"the memory ran out at step {step + 1} with {_images(-(-images // before))} at a "
            f"time: from there on each batch of {plan.batch_size} is computed in {parts} parts "
            f"instead of {before}; {_changes(run)} (--set training.accumulate={parts} "
            "computes so from the start)"
        )
        notes.append(Note("memory", None, reason))
        before = parts
    return notes


def _images(count: int) -> str:
    return f"{count} image" + ("s" if count != 1 else "")
