"""What the tests of teachers share: a small recipe, what it builds, and a batch with what the
teacher says of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from trickbag.data.dataset import Dataset
from trickbag.data.loading.loader import Loader, RawBatch
from trickbag.models.config import TimmConfig
from trickbag.recipe import Recipe
from trickbag.train.build import Run, build
from trickbag.train.plan import resolve
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


def recipe(pictures: Path, *tricks: Trick, **changes: str) -> Recipe:
    made = Recipe(model=TimmConfig(name="test_resnet"), tricks=tricks)
    settings = {
        "data.source": str(pictures),
        "data.image_size": str(SIZE),
        "data.workers": "0",
        "training.batch_size": str(BATCH),
        "training.device": "cpu",
        "training.epochs": "6",
    }
    for path, value in (
        settings | {key.replace("__", "."): value for key, value in changes.items()}
    ).items():
        made = made.set(path, value)
    return made


def built(made: Recipe, dataset: Dataset, seed: int = 5) -> tuple[Run, list[str]]:
    plan, _ = resolve(made, dataset, seed)
    return build(plan, made.tricks, dataset)


def first_batch(run: Run, dataset: Dataset, epoch: int = 0) -> tuple[RawBatch, Tensor, Tensor]:
    """Return the first raw batch of an epoch, what the network sees of it, and the teacher's
    probabilities (N, K)."""
    plan = run.plan
    how = {
        "batch_size": plan.batch_size,
        "repeats": plan.repeats,
        "seed": plan.seed,
        "teacher_logits": run.teacher_logits,
        "workers": 0,
    }
    loader = Loader(dataset.train, plan.data, run.pipeline.preprocessing, train=True, **how)  # type: ignore[arg-type]
    raw = next(loader.epoch(epoch))
    draws = run.pipeline.draw(len(raw.images), plan.seed, plan.timestamp(epoch), run.device)
    batch = run.teach(run.pipeline(raw, draws))
    return raw, batch.images, batch.extras[EXTRA]


def close(one: Tensor, other: Tensor) -> None:
    """Logits of up to about 10 are kept to 2^-12 of their value: as much is a probability off,
    relatively."""
    torch.testing.assert_close(one, other, rtol=5e-3, atol=1e-6)
    assert (other.amax(1) - other.amin(1)).max() > 0.05, "the teacher tells the classes apart"
