"""The pictures of a run's page: read from the run's data, if these are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import TrickbagError
from trickbag.report.pictures import Picture, Pictures
from trickbag.report.run.predictions import most_confident_mistakes, read_predictions
from trickbag.report.run.records import read_record

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.report.run.records import ReportedRun

__all__ = ["pictures_of"]

_MISTAKES = 24
_AUGMENTED = 32


def pictures_of(folder: Path) -> Pictures | None:
    """Load the most confident mistakes and an augmented batch of a run; None where its data cannot be had any more.

    The mistakes are found by name; the batch is left out where the data have changed since the run.
    """
    from trickbag.data.dataset import prepare
    from trickbag.recipe import Recipe

    try:
        record = read_record(folder)
        recipe = Recipe.from_dict(record.recipe)
        dataset = prepare(recipe.data)
        return Pictures(
            mistakes=_mistakes(folder, dataset), augmented=_augmented(record, recipe, dataset)
        )
    except (TrickbagError, OSError):
        return None


def _mistakes(folder: Path, dataset: Dataset) -> list[Picture]:
    from trickbag.data.decoding.decode import DecodeError

    place = {name: i for i, name in enumerate(dataset.val.names)}
    pictures = []
    for row in most_confident_mistakes(
        read_predictions(folder / "predictions.csv") or [], _MISTAKES
    ):
        if row.image not in place:
            continue
        try:
            image = dataset.val.read(place[row.image])
        except DecodeError:  # damaged since it was predicted
            continue
        pictures.append(
            Picture(
                image=image,
                name=row.image,
                label=row.label,
                predicted=row.predicted,
                confidence=row.confidence,
            )
        )
    return pictures


def _augmented(record: ReportedRun, recipe: Recipe, dataset: Dataset) -> list[Picture]:
    from trickbag.settings import read
    from trickbag.train.plan import Plan
    from trickbag.train.preview import augmented

    trial = record.recipe.get("trial")
    if (
        not record.resolved
        or not isinstance(trial, dict)
        or trial.get("data") != dataset.fingerprint
    ):
        return []
    plan = read(Plan, dict(record.resolved), "resolved")
    return [
        Picture(image=image)
        for image in augmented(plan, recipe.tricks, dataset, min(_AUGMENTED, plan.batch_size))
    ]
