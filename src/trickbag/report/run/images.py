"""The pictures of a run's page, loaded from the run's data if they are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import TrickbagError
from trickbag.report.pictures import Picture, Pictures
from trickbag.report.run.predictions import most_confident_mistakes
from trickbag.report.run.records import read_record
from trickbag.text import as_utf8
from trickbag.train.folder.predictions import read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.report.run.records import ReportedRun

__all__ = ["pictures_of"]

_MISTAKES = 24
_AUGMENTED = 32


def pictures_of(folder: Path) -> Pictures | None:
    """Load a run's most confident mistakes and an augmented batch; None if its data are gone.

    Mistakes are looked up by the image's name. The batch is left out if the data have changed since
    the run.
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
        # A page without pictures is better than none: data move, and tricks of others disappear.
        return None


def _mistakes(folder: Path, dataset: Dataset) -> list[Picture]:
    from trickbag.data.decoding.decode import DecodeError

    predictions = read_predictions(folder / "predictions.csv") or []
    # The file has the names as UTF-8 can hold them.
    places = {as_utf8(name).decode(): i for i, name in enumerate(dataset.val.names)}
    pictures = []
    for row in most_confident_mistakes(predictions, _MISTAKES):
        if row.image not in places:
            continue
        try:
            image = dataset.val.read(places[row.image])
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
    from trickbag.train.plan.plan import Plan
    from trickbag.train.preview import augmented

    if not record.resolved or record.fingerprint != dataset.fingerprint:
        return []
    plan = Plan.from_stored(record.resolved)
    images = augmented(plan, recipe.tricks, dataset, min(_AUGMENTED, plan.batch_size))
    return [Picture(image=image) for image in images]
