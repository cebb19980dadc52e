"""Some training images as the network sees them, and what each trick alone does to them.

Shapes: N images, H and W pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import DoesNotApply
from trickbag.train.loaders import train_loader
from trickbag.train.pipeline import Pipeline
from trickbag.train.plan.resolve import resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset
    from trickbag.functional.batch import Batch
    from trickbag.recipe import Recipe
    from trickbag.train.plan.plan import Plan
    from trickbag.tricks.trick import Timestamp, Trick

__all__ = ["TrickPreview", "augmented", "augmented_batch", "changes_elsewhere", "previews"]

_DRAWS = 32
_IMAGE_HOOKS = ("data", "data_at", "batch")
"""The hooks by which a trick can change images."""

_SUBJECTS = (
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
"""What a trick changes by a hook, if no image shows it; the first hook that it has counts."""


class TrickPreview(NamedTuple):
    """Images as a trick alone changes them, each uint8 (H, W, 3): the strongest of its `draws`."""

    trick: str
    draws: int
    images: list[NDArray[np.uint8]]


def augmented(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int, epoch: int = 0
) -> list[NDArray[np.uint8]]:
    """Return the first images of an epoch as the network sees them, but for normalisation.

    They are up to `n`, uint8 (H, W, 3). The epoch is counted from 0. The images are one batch: the
    crops are those of the run, and whatever pairs images pairs these. Of several views of an image
    it is the last. The work is done on the CPU.
    """
    return augmented_batch(plan, tricks, dataset, n, epoch)[0]


def augmented_batch(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int, epoch: int = 0
) -> tuple[list[NDArray[np.uint8]], torch.Tensor]:
    """Return images as `augmented` does, and their targets, which have a row for each."""
    _, (batch,) = _batches(plan, tricks, dataset, n, [plan.timestamp(epoch)])
    return list(_pixels(batch, plan).numpy()), batch.targets


def previews(
    recipe: Recipe, dataset: Dataset, n: int, seed: int = 0
) -> tuple[list[NDArray[np.uint8]], list[TrickPreview]]:
    """Return the first `n` images of a run without tricks and policy, and a preview of each trick.

    The crops are those of the run; none is mirrored, so that the images stay the same. Of several
    draws of a trick that one is shown whose images are the farthest from all those without it: a
    weight of mixup near 0 or 1 would show nothing. A trick is left out that does nothing to images,
    that chooses other images, or that does not apply alone.
    """
    bare = recipe.replace(data=replace(recipe.data, policy=None, views=0))

    def with_tricks(*names: str, draws: int = 1) -> tuple[torch.Tensor, list[torch.Tensor]]:
        chosen = bare.only(*names)
        plan, _ = resolve(chosen, dataset, seed)
        plan = replace(plan, data=replace(plan.data, flip_prob=0.0))
        timestamps = [plan.timestamp(0, step) for step in range(draws)]
        index, batches = _batches(plan, chosen.tricks, dataset, n, timestamps)
        return index, [_pixels(batch, plan) for batch in batches]

    plain_index, (plain,) = with_tricks()
    trick_previews = []
    for trick in recipe.tricks:
        if not any(trick.overrides(hook) for hook in _IMAGE_HOOKS):
            continue
        draws = _DRAWS if trick.overrides("draw") else 1
        try:
            index, batches = with_tricks(trick.name, draws=draws)
        except DoesNotApply:
            continue
        if len(index) == len(plain_index) and not torch.equal(index, plain_index):
            continue
        strongest = max(batches, key=lambda images: _distance(images, plain))
        if not torch.equal(strongest, plain):
            trick_previews.append(TrickPreview(trick.name, draws, list(strongest.numpy())))
    return list(plain.numpy()), trick_previews


def changes_elsewhere(
    tricks: tuple[Trick, ...], trick_previews: list[TrickPreview]
) -> dict[str, list[str]]:
    """Return the names of the tricks that no preview shows, by what each changes."""
    names: dict[str, list[str]] = {}
    for trick in tricks:
        if all(preview.trick != trick.name for preview in trick_previews):
            subjects = (subject for hook, subject in _SUBJECTS if trick.overrides(hook))
            names.setdefault(next(subjects, "something else"), []).append(trick.name)
    return names


def _distance(images_NHW3: torch.Tensor, others_NHW3: torch.Tensor) -> float:
    """Return the mean distance of images from the nearest of the others, in levels.

    It is 255 if their shapes differ.
    """
    if images_NHW3.shape != others_NHW3.shape:
        return 255.0
    distances_NN = torch.cdist(images_NHW3.float().flatten(1), others_NHW3.float().flatten(1), p=1)
    return float(distances_NN.amin(dim=1).mean()) / images_NHW3[0].numel()


def _batches(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int, timestamps: list[Timestamp]
) -> tuple[torch.Tensor, list[Batch]]:
    """Return the first batch of an epoch with the draws of each timestamp, and its images' index.

    Its images are normalised.
    """
    preprocessing = Preprocessing.of(plan.data, plan.image_size)
    pipeline = Pipeline(
        task=plan.build_task(),
        preprocessing=preprocessing,
        flip_prob=plan.batch_flip_prob,
        tricks=tricks,
    )
    batch_size = min(n, len(dataset.train))
    epoch = timestamps[0].epoch
    # The plan of a run on a GPU can be shown where there is none: nothing is pinned for it.
    on_cpu = replace(plan, training=replace(plan.training, device="cpu"))
    loader = train_loader(on_cpu, dataset.train, preprocessing, batch_size=batch_size, workers=0)
    raw = next(iter(loader.epoch(epoch, data=plan.data_at(tricks, epoch))))
    drawn = (
        pipeline.draw(len(raw.images), plan.seed, timestamp, torch.device("cpu"))
        for timestamp in timestamps
    )
    return raw.index, [pipeline(raw, draws) for draws in drawn]


def _pixels(batch: Batch, plan: Plan) -> torch.Tensor:
    """Return images as levels from 0 to 255, uint8 (N, H, W, 3)."""
    images = batch.images if batch.views is None else batch.views[:, -1]
    prepared = Preprocessing.of(plan.data, plan.image_size)
    pixels = images.permute(0, 2, 3, 1) * torch.tensor(prepared.std) + torch.tensor(prepared.mean)
    return pixels.round().clamp(0, 255).to(torch.uint8)
