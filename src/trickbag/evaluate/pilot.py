"""The time of an evaluation, forecast on a few images before a study spends more."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.evaluate.extra import EXTRA, ExtraSettings
from trickbag.evaluate.trained import Trained
from trickbag.models.weights import save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.train.build import build
from trickbag.train.folder.identity import trial_of
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe
from trickbag.train.machine.isolation import isolated
from trickbag.train.plan.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe

__all__ = ["evaluation_seconds"]

_FEW, _MORE = 2, 8
"""Images that are evaluated first, and once more if that takes little time."""

_LIMIT_S = 4.0
"""The seconds of the first evaluation above which there is no second one."""

_ANNOTATIONS = "*.xml"


def evaluation_seconds(
    recipe: Recipe, dataset: Dataset, evaluation: str, settings: ExtraSettings
) -> float:
    """Forecast the seconds of an evaluation of `evaluate.extra.EXTRA`, in this process.

    An untrained network of the recipe is evaluated on a few images, twice unless that takes long:
    the difference is the time of an image, and the rest that of what is done once. Raises
    DoesNotApply and UserError as `fit`, and what the evaluation raises.
    """
    images = _images(dataset, settings)
    with _untrained(recipe, dataset) as trained:
        threads = trained.plan.threads if trained.plan is not None else 1
        with isolated(threads, trained.device.type):
            return _forecast(trained, evaluation, settings, images)


def _forecast(trained: Trained, evaluation: str, settings: ExtraSettings, images: int) -> float:
    """Evaluate a few images, and return the seconds that all of them will take."""
    few = min(_FEW, images)
    first_s = _seconds(trained, evaluation, settings, few)
    more = min(_MORE, images)
    if more <= few or first_s > _LIMIT_S:
        return first_s * images / few
    more_s = _seconds(trained, evaluation, settings, more)
    # The first call imports and allocates what the second has already.
    image_s = max(more_s - first_s, 0.25 * more_s) / (more - few)
    return more_s + image_s * (images - more)


def _seconds(trained: Trained, evaluation: str, settings: ExtraSettings, limit: int) -> float:
    started = time.perf_counter()
    EXTRA[evaluation](trained, dataclasses.replace(settings, limit=limit))
    return time.perf_counter() - started


def _images(dataset: Dataset, settings: ExtraSettings) -> int:
    if settings.directory is not None:
        available = sum(1 for _ in Path(settings.directory).rglob(_ANNOTATIONS))
    else:
        available = len(dataset.val)
    return max(1, min(settings.limit or available, available))


@contextlib.contextmanager
def _untrained(recipe: Recipe, dataset: Dataset) -> Iterator[Trained]:
    """Give the network of a recipe as a run would leave it, with its initial weights."""
    # Teachers teach in training alone, and may take long to prepare.
    recipe = recipe.replace(tricks=tuple(t for t in recipe.tricks if not t.overrides("teachers")))
    plan, _ = resolve(recipe, dataset, seed=0)
    with isolated(plan.threads, plan.device):
        run, _ = build(plan, recipe.tricks, dataset)
    record = RunRecipe(
        recipe=recipe.to_dict(),
        resolved=plan.to_stored(),
        trial=trial_of(recipe, 0, dataset.fingerprint),
    )
    metadata = WeightsMetadata(
        model=plan.model,
        classes=dataset.classes,
        preprocessing=run.evaluation,
        columns=None,
        eval_precision=plan.training.eval_precision,
    )
    with tempfile.TemporaryDirectory(prefix="trickbag-forecast-") as temporary:
        folder = RunFolder(Path(temporary))
        record.write(folder.recipe)
        save_weights(run.evaluated_network, folder.best, metadata)
        yield Trained.load(folder.path, plan.device)
