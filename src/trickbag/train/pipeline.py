"""From a raw batch of bytes to what the network sees: mirror, colour, noise, normalise, erase, mix, on the device.

Shapes: N images of an effective batch, K classes, H and W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trickbag.data.loading.loader import RawBatch
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.streams import stream
from trickbag.tricks.trick import PHASES, Batch, Timestamp, Trick

__all__ = ["Draws", "Pipeline", "mirror", "weigh_classes"]

Draws = tuple[tuple[Tensor, ...], ...]
"""The random numbers of a batch: the mirror's, then each trick's, as tensors on the device."""


def mirror(images_N3HW: Tensor, flipped_N: Tensor) -> Tensor:
    """Mirror left and right the images whose entry of `flipped_N` (bool) is true."""
    return torch.where(flipped_N[:, None, None, None], images_N3HW.flip(3), images_N3HW)


def weigh_classes(batch: Batch, class_weights_K: Tensor) -> Batch:
    """Return the batch with the weights of the classes in its targets, before anything mixes or smooths them.

    An image with one label then counts by the weight of its class in all that follows, as rows
    count by their sum (Cui et al. 2019, section 4). With several labels it is the labels that it
    shows, each class being a question of its own: a weight on the answer no, too, would leave the
    class the question that it was. The batch's `class_weights` (N, K) say how much each question
    counts: its weight where the answer is yes, else 1.
    """
    targets_NK = batch.targets * class_weights_K
    if batch.row_weights is None:
        return batch._replace(targets=targets_NK)
    weights_NK = batch.row_weights[:, None] + (targets_NK - batch.targets)
    return batch._replace(targets=targets_NK, class_weights=weights_NK)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The part of preprocessing that runs on the training device, inside the compiled step.

    Its order is the paper's (He et al. 2018, section 2.1) whatever the order of the tricks: mirror,
    colour, noise, normalisation, then erasing and mixing. `draw` makes every random number outside
    the graph, from streams that are keyed by purpose, epoch and step; calling the pipeline is a
    pure function of tensors. `class_weights` (K,) are on its device; `taught` is the trick that
    learns from the answers which come with the images.
    """

    num_classes: int
    preprocessing: Preprocessing
    flip_prob: float
    tricks: tuple[Trick, ...]
    layout: str = "contiguous"
    class_weights: Tensor | None = None
    taught: Trick | None = None

    @property
    def stages(self) -> tuple[Trick, ...]:
        """The tricks that change batches, in the order in which they do."""
        active = [trick for trick in self.tricks if trick.overrides("batch")]
        return tuple(sorted(active, key=lambda trick: PHASES.index(trick.phase)))

    @property
    def mixes(self) -> bool:
        """Whether an image of the batch depends on others, so that all of them are needed for a
        part."""
        return not all(trick.by_image for trick in self.stages)

    def draw(
        self,
        n: int,
        seed: int,
        timestamp: Timestamp,
        device: torch.device,
        rows: slice | None = None,
    ) -> Draws:
        """Draw the random numbers for `n` images, read for one effective batch, at a moment of the run.

        `rows` are the images of which to return them, where nothing mixes. Where several images are
        read for each one of the batch, what comes before they are mixed draws for one after the
        other: for the first as it would alone.
        """
        place = timestamp.epoch, timestamp.step
        flipped = stream(seed, "flip", *place).random(n) < self.flip_prob
        draws: list[tuple[np.ndarray, ...]] = [(flipped,)]
        size = n // math.prod(trick.repeats for trick in self.stages)
        for trick in self.stages:
            several = 1 if trick.phase == "mix" else n // size
            purposes = [trick.name, *(f"{trick.name}:{other}" for other in range(1, several))]
            drawn = [
                trick.draw(n // several, stream(seed, purpose, *place), timestamp)
                for purpose in purposes
            ]
            draws.append(
                drawn[0] if several == 1 else tuple(map(np.concatenate, zip(*drawn, strict=True)))
            )
            n //= trick.repeats
        if rows is not None:
            draws = [tuple(item[rows] for item in draw) for draw in draws]
        return tuple(
            tuple(torch.as_tensor(item).to(device, non_blocking=True) for item in draw)
            for draw in draws
        )

    def __call__(self, raw: RawBatch, draws: Draws) -> Batch:
        """Return the batch that the network sees: images (N, 3, H, W) float32, targets (N, K) float32.

        Where each image has several views they are all treated alike, with the same random numbers:
        mirrored together, mixed with the same partner. The first is the batch's, the others are its
        `views` (N, V, 3, H, W).
        """
        if raw.images.ndim == 4:
            return self._one_view(raw, draws)
        batch, *others = (
            self._one_view(raw._replace(images=view), draws) for view in raw.images.unbind(1)
        )
        views = torch.stack([other.images for other in others], dim=1)
        return batch._replace(views=views)

    def _one_view(self, raw: RawBatch, draws: Draws) -> Batch:
        (flipped,), *tricks_draws = draws
        images = raw.images.float()
        if self.flip_prob > 0:
            images = mirror(images, flipped)
        # A sample that could not be read has a row of zeros: linear, so it stays without weight in
        # whatever follows.
        multi_label = raw.labels.ndim == 2
        labels = (
            raw.labels
            if multi_label
            else functional.one_hot(raw.labels.clamp(min=0), self.num_classes)
        )
        batch = Batch(
            images,
            targets=labels.float() * raw.valid[:, None],
            index=raw.index,
            extras={},
            multi_label=multi_label,
            row_weights=raw.valid.float() if multi_label else None,
        )
        if self.class_weights is not None:
            batch = weigh_classes(batch, self.class_weights)
        if self.taught is not None:
            batch = self.taught.teach(batch, raw.teacher_logits)
        normalised = False
        for trick, draw in zip(self.stages, tricks_draws, strict=True):
            if not normalised and trick.phase not in ("color", "noise"):
                batch, normalised = self._normalise(batch), True
            batch = trick.batch(batch, *draw)
        return batch if normalised else self._normalise(batch)

    def _normalise(self, batch: Batch) -> Batch:
        images = self.preprocessing.normalise(batch.images)
        if self.layout == "channels_last":
            images = images.contiguous(memory_format=torch.channels_last)
        return batch._replace(images=images, owned=True)  # made here, and held by nobody else
