"""The disk that a study takes, before it is run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import DoesNotApply
from trickbag.study.kept_weights import kept_trials
from trickbag.study.shared_images import can_share_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.study.executors import Machine
    from trickbag.study.prepare import PreparedStudy
    from trickbag.study.trial import Trial
    from trickbag.train.disk import RunBytes
    from trickbag.tricks.trick import TeacherSpec

__all__ = ["DiskUse", "disk_use"]

_PAGE, _RESULT = 100_000, 4_000
"""Bytes of the study's page and records, and of each trial in them."""

_SAMPLED = 32
"""Images that are read to know how large they are when decoded."""


@dataclass(frozen=True, kw_only=True)
class DiskUse:
    """The bytes that the trials to be run will take.

    `weights` are those of the `kept` trials, of `trials` in all; `other` is what else stays:
    metrics, predictions, TensorBoard's events, the study's records and page. `running` is what the
    trials that run at a time have more meanwhile: their checkpoints, each twice while it is
    replaced, and weights; `decoded` are the images that they share. `teacher_logits` lie where the
    recipe says, or in the user's cache folder. `free` is what is free on the disk of `folder`.
    """

    folder: Path
    trials: int
    kept: int
    weights: int
    other: int
    running: int
    decoded: int
    teacher_logits: int
    free: int

    @property
    def end(self) -> int:
        """The bytes in the study's folder once it has finished."""
        return self.weights + self.other

    @property
    def peak(self) -> int:
        """The most bytes in the study's folder while it runs."""
        return self.end + self.running + self.decoded


def disk_use(study: PreparedStudy, machine: Machine, folder: Path) -> DiskUse:
    """Forecast the disk of a study's trials that are still to be run, in its folder.

    Trials are taken as finished in the end. Files are counted by their length; a file system takes
    whole blocks. Images are counted when they are decoded, by some of them.
    """
    plan = study.plan
    pending = [t for t in study.progress.pending(plan.retries) if t.id not in study.trained]
    kept = kept_trials(plan.weights_kept, study.progress.trial_plan, plan.design.full)
    # Once for each recipe: a study has it with every seed.
    of_recipe: dict[str, RunBytes | None] = {}
    sizes: list[tuple[Trial, RunBytes]] = []
    for trial in pending:
        # The files of all folds are as long as those of the first.
        recipe = plan.division.on_first(trial) if plan.division else trial.recipe
        if recipe.id not in of_recipe:
            of_recipe[recipe.id] = _bytes(recipe, study.dataset)
        if (size := of_recipe[recipe.id]) is not None:
            sizes.append((trial, size))
    workers = max(1, min(machine.workers, len(pending)))
    running = sorted((2 * size.checkpoint + size.weights for _, size in sizes), reverse=True)
    logits: dict[object, int] = {}
    for trial, size in sizes:
        for spec, number in size.teacher_logits.items():
            logits[_logits_file(spec, trial)] = number
    weights = [size.weights for trial, size in sizes if trial.id in kept]
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    return DiskUse(
        folder=folder,
        trials=len(sizes),
        kept=len(weights),
        weights=sum(weights),
        other=sum(size.other + _RESULT for _, size in sizes) + (_PAGE if sizes else 0),
        running=sum(running[:workers]),
        # The runs of folds read their own images, see `Driver`.
        decoded=0 if plan.folds else _decoded(study.dataset, machine, pending, existing),
        teacher_logits=sum(logits.values()),
        free=free,
    )


def _logits_file(spec: TeacherSpec, trial: Trial) -> object:
    """Return what tells files of logits apart: their name, or what determines them."""
    # The crops that are replayed are those of a seed; each fold has training images of its own.
    seed = trial.seed if spec.view == "replay" else None
    return spec.cache or (spec, seed, trial.fold, trial.split)


def _bytes(recipe: Recipe, dataset: Dataset) -> RunBytes | None:
    from trickbag.train.disk import run_bytes

    try:
        return run_bytes(recipe, dataset)
    except DoesNotApply:
        return None  # a trial finds that out at once, and leaves nothing


def _decoded(dataset: Dataset, machine: Machine, pending: Sequence[Trial], folder: Path) -> int:
    """Return the bytes of the images that the trials share; 0 where each reads its images."""
    from trickbag.data.decoding.in_memory import memory_limit

    if len(pending) < 2 or not machine.shares_memory:
        return 0
    if not can_share_images(dataset, [trial.recipe.data for trial in pending]):
        return 0
    total = 0
    for part in (dataset.train, dataset.val, dataset.test):
        if part is not None and len(part):
            rows = np.unique(np.linspace(0, len(part) - 1, _SAMPLED).astype(int))
            total += round(np.mean([part.read(i).nbytes for i in rows.tolist()]) * len(part))
    return total if total <= memory_limit(folder) else 0
