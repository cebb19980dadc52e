"""The time of a density match, forecast from a few of its images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.evaluate.trained import Trained
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network
from trickbag.search.autoaugment.density_trial import DRAWS, HeldBack, policy_of
from trickbag.train.machine.isolation import isolated
from trickbag.train.plan.resolve import resolve

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.study.trial import Trial

__all__ = ["density_seconds"]

_IMAGES = 64


def density_seconds(trial: Trial, dataset: Dataset, most: int) -> float:
    """Return the seconds of a trial that matches densities, measured on a network as it is built.

    `dataset` has the held-back fold as its validation part, of which at most `most` images are
    matched; up to 64 are used here.
    """
    plan, _ = resolve(trial.recipe, dataset, seed=0)
    network = Trained.of_network(
        Path(trial.model),
        build_network(plan.model, seed=0),
        WeightsMetadata(
            model=plan.model,
            classes=dataset.classes,
            preprocessing=Preprocessing.of(plan.data, plan.image_size),
        ),
        device=plan.device,
    )
    count = min(len(dataset.val), _IMAGES)
    held_back = HeldBack(network, dataset.val.subset(np.arange(count)))
    policy = policy_of(trial.recipe)
    with isolated(plan.threads, plan.device):
        held_back.measured(policy, 0, 1)  # the first time allocates and chooses algorithms
        started = time.perf_counter()
        held_back.measured(policy, 1, DRAWS)
        return (time.perf_counter() - started) * min(len(dataset.val), most) / count
