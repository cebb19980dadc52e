"""A few training images as the network sees them, and what each trick alone does to them.

Shapes: N images, S pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import DoesNotApply
from trickbag.train.pipeline import Pipeline
from trickbag.train.plan import Plan, resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Batch, Timestamp, Trick

__all__ = ["TrickPreview", "augmented", "effects", "elsewhere"]

_DRAWS = 32
_ON_IMAGES = ("data", "data_at", "batch")
"""The hooks by which a trick can change images."""
_ELSEWHERE = (
    ("schedule", "the learning rate"),
    ("model", "the network"),
    ("network", "the first weights"),
    ("param_groups", "the optimizer"),
    ("average", "the weights that are kept"),
    ("teachers", "the targets"),
    ("loss", "the loss"),
    ("class_weights", "the loss"),
    ("batch", "the targets"),
    ("data", "the choice of images"),
    ("data_at", "the choice of images"),
    ("training", "the optimisation"),
)
"""What a trick changes by a hook where no image shows it; the first hook that it has counts."""


class TrickPreview(NamedTuple):
    """What a trick alone makes of images, each uint8 (S, S, 3); the strongest of so many
    `draws`."""

    trick: str
    draws: int
    images: list[NDArray[np.uint8]]


def augmented(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int, epoch: int = 0
) -> list[NDArray[np.uint8]]:
    """Make the first images of an epoch, counted from 0, as a run sees them but for normalisation: uint8 (S, S, 3).

    Up to `n` images, as one batch: the crops are those of the run, and whatever pairs images pairs
    these. Of several views of an image it is the last. The work is done on the CPU.
    """
    _, (images,) = _made(plan, tricks, dataset, n, [plan.timestamp(epoch)])
    return list(images.numpy())


def effects(
    recipe: Recipe, dataset: Dataset, n: int, seed: int = 0
) -> tuple[list[NDArray[np.uint8]], list[TrickPreview]]:
    """Make the first `n` images of a run without tricks and policy, and of one with each trick alone that changes them.

    The crops are those of the run; none is mirrored, so that the images stay the same ones. Of
    several draws of a trick that one is shown whose images are the farthest from all those without
    it: a weight of mixup near 0 or 1 would show nothing. Left out is a trick that does nothing to
    images, that chooses other ones, or that does not apply alone.
    """
    bare = recipe.replace(data=replace(recipe.data, policy=None, views=0))

    def alone(*names: str, draws: int = 1) -> tuple[torch.Tensor, list[torch.Tensor]]:
        one = bare.only(*names)
        plan, _ = resolve(one, dataset, seed)
        plan = replace(plan, data=replace(plan.data, flip_prob=0.0))
        return _made(
            plan, one.tricks, dataset, n, [plan.timestamp(0, step) for step in range(draws)]
        )

    chosen, (plain,) = alone()
    found = []
    for trick in recipe.tricks:
        if not any(trick.overrides(hook) for hook in _ON_IMAGES):
            continue
        draws = _DRAWS if trick.overrides("draw") else 1
        try:
            index, made = alone(trick.name, draws=draws)
        except DoesNotApply:
            continue
        if len(index) == len(chosen) and not torch.equal(index, chosen):
            continue
        strongest = max(made, key=lambda images: _distance(images, plain))
        if not torch.equal(strongest, plain):
            found.append(TrickPreview(trick.name, draws, list(strongest.numpy())))
    return list(plain.numpy()), found


def elsewhere(tricks: tuple[Trick, ...], shown: list[TrickPreview]) -> dict[str, list[str]]:
    """Name the tricks whose effect is in no image of `shown`, by what each changes."""
    found: dict[str, list[str]] = {}
    for trick in tricks:
        if all(effect.trick != trick.name for effect in shown):
            what = next(
                (what for hook, what in _ELSEWHERE if trick.overrides(hook)), "something else"
            )
            found.setdefault(what, []).append(trick.name)
    return found


def _distance(images_NSS3: torch.Tensor, others_NSS3: torch.Tensor) -> float:
    """Return how far images are from the nearest of the others, in levels: the mean; 255 where
    their shapes differ."""
    if images_NSS3.shape != others_NSS3.shape:
        return 255.0
    distances_NN = torch.cdist(images_NSS3.float().flatten(1), others_NSS3.float().flatten(1), p=1)
    return float(distances_NN.amin(dim=1).mean()) / images_NSS3[0].numel()


def _made(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int, timestamps: list[Timestamp]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return which images the first batch of an epoch repeats, and the batch with the draws of each of the moments.

    A batch is uint8 (N, S, S, 3).
    """
    preprocessing = Preprocessing.of(plan.data, plan.image_size)
    pipeline = Pipeline(
        num_classes=len(dataset.classes),
        preprocessing=preprocessing,
        flip_prob=plan.flip_prob,
        tricks=tricks,
    )
    n = min(n, len(dataset.train))
    how: dict[str, Any] = {
        "train": True,
        "batch_size": n,
        "seed": plan.seed,
        "workers": 0,
        "repeats": plan.repeats,
    }
    loader = Loader(dataset.train, plan.data, preprocessing, **how)
    raw = next(
        iter(loader.epoch(timestamps[0].epoch, data=plan.data_at(tricks, timestamps[0].epoch)))
    )
    drawn = (
        pipeline.draw(len(raw.images), plan.seed, timestamp, torch.device("cpu"))
        for timestamp in timestamps
    )
    return raw.index, [_pixels(pipeline(raw, draws), plan) for draws in drawn]


def _pixels(batch: Batch, plan: Plan) -> torch.Tensor:
    images = batch.images if batch.views is None else batch.views[:, -1]
    pixels = images.permute(0, 2, 3, 1) * torch.tensor(plan.data.std) + torch.tensor(plan.data.mean)
    return pixels.round().clamp(0, 255).to(torch.uint8)
