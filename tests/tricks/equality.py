"""What a run does, as one digest: two recipes with the same digest train the same network."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, NamedTuple

import torch

from trickbag.data.loading.loader import Loader
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.plan.resolve import resolve
from trickbag.train.step import train_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trickbag.data.dataset import Dataset
    from trickbag.errors import Note
    from trickbag.recipe import Recipe
    from trickbag.train.run import Run

__all__ = ["Trace", "trace", "without_effect"]


class Trace(NamedTuple):
    """A run of two steps: the digest of all that it computes, its last weights, and its notes."""

    digest: str
    weights: tuple[torch.Tensor, ...]
    notes: tuple[Note, ...]


def without_effect(notes: tuple[Note, ...]) -> set[str]:
    """Return the tricks that notes say change nothing."""
    return {note.trick for note in notes if note.kind == "no_effect" and note.trick}


def trace(recipe: Recipe, dataset: Dataset) -> Trace:
    """Build a run and train it for two steps: the first, and one of the last epoch.

    The digest is of the learning rate of every step of the run, the data of every epoch, the
    parameters after initialisation, the optimizer's groups, and after the steps the loss, the
    parameters, the averaged ones, and the optimizer's buffers, which hold the gradients.
    """
    plan, notes = resolve(recipe, dataset, 0)
    run, more = build(plan, recipe.tricks, dataset)
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr([plan.lr(step) for step in range(plan.steps)]).encode())
    digest.update(
        repr([plan.data_at(recipe.tricks, i) for i in range(plan.training.epochs)]).encode()
    )
    _add(digest, state_of(run))
    for group in run.optimizer.param_groups:
        sizes = [parameter.shape for parameter in group["params"]]
        digest.update(repr([group["weight_decay"], group["lr_scale"], sizes]).encode())
    for loss in _train(run, dataset):
        digest.update(repr(loss).encode())
    _add(digest, state_of(run))
    for state in run.optimizer.state.values():
        _add(digest, (value for value in state.values() if isinstance(value, torch.Tensor)))
    weights = tuple(value.clone() for value in state_of(run))
    return Trace(digest.hexdigest(), weights, (*notes, *more))


def state_of(run: Run) -> Iterator[torch.Tensor]:
    """Return the weights that are trained, and those that are kept."""
    yield from run.network.state_dict().values()
    yield from run.evaluated_network.state_dict().values()


def _add(digest: hashlib.blake2b, tensors: Iterator[torch.Tensor]) -> None:
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().numpy().tobytes())


def _train(run: Run, dataset: Dataset) -> Iterator[float]:
    plan = run.plan
    loader = Loader(
        dataset.train,
        plan.data,
        run.pipeline.preprocessing,
        train=True,
        batch_size=plan.batch_size,
        seed=plan.seed,
        workers=0,
        repeats=plan.repeats,
        teacher_logits=run.teacher_logits,
    )
    progress = Progress.start(run.device)
    run.network.train()
    last = plan.training.epochs - 1
    places = [(0, 0), (last, 0 if last else 1)]
    for epoch, step in places[: plan.steps]:
        data = plan.data_at(run.tricks, epoch)
        raw = next(itertools.islice(loader.epoch(epoch, data=data), step, None))
        timestamp = plan.timestamp(epoch, step)
        draws = run.pipeline.draw(len(raw.images), plan.seed, timestamp, run.device)
        for trick in run.tricks:
            trick.advance(run.network, timestamp)
        progress.epoch, progress.step = epoch, step
        lr = plan.lr(epoch * plan.steps_per_epoch + step)
        train_step(run, raw, draws, lr, plan.batch_size, progress)
        yield float(progress.loss_sum)
