"""A student's recipe, and its first batch with the teacher's probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.builders.recipes import bare_recipe
from trickbag.data.dataset import Dataset
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.recipe import Recipe
from trickbag.train.run import Run
from trickbag.tricks.distillation import EXTRA
from trickbag.tricks.trick import Trick

SIZE, BATCH = 16, 10
WHOLE = {
    "data.crop_area": "1,1",
    "data.crop_ratio": "1,1",
    "data.flip_prob": "0",
    "data.eval_crop": "1",
}
"""Training crops that are the centre crop: of square images all of them."""


def recipe(pictures: Path, *tricks: Trick, **settings: str) -> Recipe:
    """Return the recipe of a student for 6 epochs."""
    defaults = {"training.batch_size": str(BATCH), "training.epochs": "6"}
    return bare_recipe(pictures, *tricks, **(defaults | settings))


def first_batch(run: Run, dataset: Dataset, epoch: int = 0) -> tuple[RawBatch, Tensor, Tensor]:
    """Return the first batch of an epoch: raw, its images, the teacher's probabilities (N, K)."""
    plan = run.plan
    options: dict[str, Any] = {
        "batch_size": plan.batch_size,
        "repeats": plan.repeats,
        "seed": plan.seed,
        "teacher_logits": run.teacher_logits,
        "workers": 0,
    }
    crops = run.pipeline.preprocessing
    loader = Loader(dataset.train, plan.data, crops, train=True, **options)
    raw = next(loader.epoch(epoch))
    draws = run.pipeline.draw(len(raw.images), plan.seed, plan.timestamp(epoch), run.device)
    batch = run.teach(run.pipeline(raw, draws))
    return raw, batch.images, batch.extras[EXTRA]


def assert_close(probabilities: Tensor, expected: Tensor) -> None:
    """Compare probabilities; logits up to about 10 are stored with a relative error of 2^-12."""
    torch.testing.assert_close(probabilities, expected, rtol=5e-3, atol=1e-6)
    assert (expected.amax(1) - expected.amin(1)).max() > 0.05, "the teacher tells the classes apart"
