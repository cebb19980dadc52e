"""From bytes to what the network sees, on the training device.

Shapes: N images of an effective batch, V further views of each, K classes, H and W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trickbag.functional.batch import Batch
from trickbag.functional.device import copied
from trickbag.streams import stream
from trickbag.train.machine.device import Layout, in_layout
from trickbag.tricks.trick import PHASES

if TYPE_CHECKING:
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.tasks.task import Task
    from trickbag.tricks.trick import Timestamp, Trick

__all__ = ["Draws", "Pipeline", "mirror", "weigh_classes"]

BEFORE_NORMALISATION = ("color", "noise")
"""The phases of what changes images on the scale of 0 to 255."""

Draws = tuple[tuple[Tensor, ...], ...]
"""The random numbers of a batch: the mirror's, then each trick's, as tensors on the device."""


def mirror(images_N3HW: Tensor, flipped_N: Tensor) -> Tensor:
    """Mirror left and right the images whose entry of `flipped_N` (bool) is true."""
    # Indexing by the mask would give a shape that depends on its values, and break the graph.
    return torch.where(flipped_N[:, None, None, None], images_N3HW.flip(3), images_N3HW)


def weigh_classes(batch: Batch, class_weights_K: Tensor) -> Batch:
    """Return the batch with the weights of the classes in its targets.

    An image with one label then counts by the weight of its class in all that follows, as a row
    counts by its sum (Cui et al. 2019, section 4). With several labels each class is a binary
    question, and its weight is on the answer yes alone: with the same weight on the answer no the
    class would be as hard to predict as before. The batch's `class_weights` (N, K) hold the weight
    where the answer is yes, else 1. To be called before anything mixes or smooths the targets.
    """
    targets_NK = batch.targets * class_weights_K
    if batch.row_weights is None:
        return batch._replace(targets=targets_NK)
    weights_NK = batch.row_weights[:, None] + (targets_NK - batch.targets)
    return batch._replace(targets=targets_NK, class_weights=weights_NK)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The part of preprocessing that runs on the training device, inside the compiled step.

    Its order is the paper's (He et al. 2018, section 2.1), whatever the order of the tricks:
    mirror, colour, noise, normalisation, then erasing and mixing. `draw` draws every random number
    outside the graph, from streams that are keyed by purpose, epoch and step; a call of the
    pipeline is a pure function of tensors.

    `class_weights` (K,) are on the device. `cached_student` is the trick that learns from teachers'
    cached logits, if there is one: they come with the images.
    """

    task: Task
    preprocessing: Preprocessing
    flip_prob: float
    tricks: tuple[Trick, ...]
    layout: Layout = "contiguous"
    class_weights: Tensor | None = None
    cached_student: Trick | None = None

    @property
    def stages(self) -> tuple[Trick, ...]:
        """The tricks that change batches, in the order in which they do."""
        active = [trick for trick in self.tricks if trick.overrides("batch")]
        return tuple(sorted(active, key=lambda trick: PHASES.index(trick.phase)))

    @property
    def takes_channels_last(self) -> bool:
        """Whether raw images may have their channels behind each other in memory.

        Not where something computes on them before they are normalised: a sum over the pixels of an
        image would be taken in another order.
        """
        is_first = not any(trick.phase in BEFORE_NORMALISATION for trick in self.stages)
        return self.layout == "channels_last" and is_first

    @property
    def mixes(self) -> bool:
        """Whether an image depends on others of the batch, so that part of it needs all of it."""
        return not all(trick.by_image for trick in self.stages)

    def draw(
        self,
        n: int,
        seed: int,
        timestamp: Timestamp,
        device: torch.device,
        rows: slice | None = None,
    ) -> Draws:
        """Draw the random numbers of the `n` images that are read for an effective batch.

        `rows` are the images whose numbers are returned, by default all; they can be given where
        nothing mixes. If several images are read for each image of the batch, what comes before
        they are mixed draws for the first of each, then for the second, and so on: the first have
        the numbers that they would have alone.
        """
        place = timestamp.epoch, timestamp.step
        # Drawn even if nothing is mirrored: then every batch has the same number of tensors.
        flipped = stream(seed, "flip", *place).random(n) < self.flip_prob
        draws: list[tuple[np.ndarray, ...]] = [(flipped,)]
        batch_size = n // math.prod(trick.repeats for trick in self.stages)
        for trick in self.stages:
            repeats = 1 if trick.phase == "mix" else n // batch_size
            purposes = [trick.name, *(f"{trick.name}:{i}" for i in range(1, repeats))]
            drawn = [
                trick.draw(n // repeats, stream(seed, purpose, *place), timestamp)
                for purpose in purposes
            ]
            if repeats == 1:
                draws.append(drawn[0])
            else:
                draws.append(tuple(map(np.concatenate, zip(*drawn, strict=True))))
            # What follows gets the images that this trick returns.
            n //= trick.repeats
        if rows is not None:
            draws = [tuple(item[rows] for item in draw) for draw in draws]
        return tuple(
            tuple(copied(torch.as_tensor(item), device) for item in draw) for draw in draws
        )

    def __call__(self, raw: RawBatch, draws: Draws) -> Batch:
        """Return the batch that the network sees, images and targets float32.

        If each image has several views all are treated alike, with the same random numbers:
        mirrored together, mixed with the same partner. The first is the batch's image, the others
        are its `views` (N, V, 3, H, W).
        """
        if raw.images.ndim == 4:
            return self._one_view(raw, draws)
        batch, *others = (
            self._one_view(raw._replace(images=view), draws) for view in raw.images.unbind(1)
        )
        return batch._replace(views=torch.stack([other.images for other in others], dim=1))

    def _one_view(self, raw: RawBatch, draws: Draws) -> Batch:
        (flipped,), *trick_draws = draws
        batch = self.task.batch(raw)
        if self.flip_prob > 0:
            batch = batch._replace(images=mirror(batch.images, flipped))
        if self.class_weights is not None:
            batch = weigh_classes(batch, self.class_weights)
        if self.cached_student is not None:
            batch = self.cached_student.teach(batch, raw.teacher_logits)
        normalised = False
        for trick, draw in zip(self.stages, trick_draws, strict=True):
            if not normalised and trick.phase not in BEFORE_NORMALISATION:
                batch, normalised = self._normalise(batch), True
            batch = trick.batch(batch, *draw)
        return batch if normalised else self._normalise(batch)

    def _normalise(self, batch: Batch) -> Batch:
        images = in_layout(self.preprocessing.normalise(batch.images), self.layout)
        # Nothing else holds the new tensor, so that the hooks behind may change it in place.
        return batch._replace(images=images, owned=True)
