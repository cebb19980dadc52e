"""A few training images as the network sees them: cropped, augmented, mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trickbag.data.loader import Loader
from trickbag.data.preprocess import Preprocessing
from trickbag.train.pipeline import Pipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset
    from trickbag.train.plan import Plan
    from trickbag.tricks.trick import Trick

__all__ = ["augmented"]


def augmented(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int, epoch: int = 0
) -> list[NDArray[np.uint8]]:
    """Make the first images of an epoch, counted from 0, as a run sees them but for normalisation: uint8 (S, S, 3).

    Up to `n` images, as one batch: the crops are those of the run, and whatever pairs images pairs these. The work is
    done on the CPU.
    """
    preprocessing = Preprocessing.of(plan.data, plan.image_size)
    pipeline = Pipeline(
        num_classes=len(dataset.classes),
        preprocessing=preprocessing,
        flip_prob=plan.flip_prob,
        tricks=tricks,
    )
    n = min(n, len(dataset.train))
    how: dict[str, Any] = {"train": True, "batch_size": n, "seed": plan.seed, "workers": 0, "reads": plan.reads}
    loader = Loader(dataset.train, plan.data, preprocessing, **how)
    raw = next(iter(loader.epoch(epoch)))
    draws = pipeline.draw(len(raw.images), plan.seed, plan.moment(epoch), torch.device("cpu"))
    images_NHW3 = pipeline(raw, draws).images.permute(0, 2, 3, 1)
    pixels = images_NHW3 * torch.tensor(plan.data.std) + torch.tensor(plan.data.mean)
    return list(pixels.round().clamp(0, 255).to(torch.uint8).numpy())
