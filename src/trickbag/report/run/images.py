"""The pictures of a run's page, loaded from the run's data if they are still there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trickbag.errors import TrickbagError
from trickbag.report.pictures import Picture, Pictures
from trickbag.report.run.predictions import most_confident_mistakes
from trickbag.report.run.probe import is_probe
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
_AUGMENTED, _ANNOTATED = 32, 8
"""The images of a batch that a page shows; those with boxes or masks are larger."""

_HEAT_MAPS = 12


def pictures_of(folder: Path, *, heat_maps: bool = False) -> Pictures | None:
    """Load a run's most confident mistakes and an augmented batch; None if its data are gone.

    In other tasks than classification predictions beside the truth are in the place of mistakes.
    Mistakes are looked up by the image's name. The batch is left out if the data have changed since
    the run. With `heat_maps` the first mistakes also have that of their predicted class, for which
    the network is loaded.
    """
    from trickbag.data.dataset import prepare
    from trickbag.recipe import Recipe

    try:
        record = read_record(folder)
        recipe = Recipe.from_dict(record.recipe)
        dataset = prepare(recipe.data, annotations=recipe.task.annotations)
        if record.task != "classification":
            from trickbag.report.run.tasks.task_report import task_report

            return Pictures(
                compared=task_report(record.task).compared(folder, dataset),
                augmented=_augmented(record, recipe, dataset),
            )
        mistakes = _mistakes(folder, dataset)
        return Pictures(
            mistakes=_with_heat_maps(folder, mistakes) if heat_maps else mistakes,
            augmented=_augmented(record, recipe, dataset),
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
                predicted=row.predicted or "",
                confidence=row.confidence,
            )
        )
    return pictures


def _with_heat_maps(folder: Path, pictures: list[Picture]) -> list[Picture]:
    """Add the heat map of the predicted class to the first pictures; a network may have none."""
    from trickbag.evaluate.localization.heat_maps import heat_map
    from trickbag.evaluate.localization.pictures import overlay
    from trickbag.evaluate.trained import Trained

    if not pictures:
        return pictures
    try:
        trained = Trained.load(folder, "cpu")
        explained = []
        for picture in pictures[:_HEAT_MAPS]:
            # Of several labels an image none is the predicted class.
            if picture.predicted in trained.classes:
                shown = heat_map(trained, picture.image, picture.predicted)
                picture = replace(picture, heat=overlay(shown.image, shown.values))
            explained.append(picture)
    except TrickbagError:
        return pictures
    return explained + pictures[_HEAT_MAPS:]


def _augmented(record: ReportedRun, recipe: Recipe, dataset: Dataset) -> list[Picture]:
    from trickbag.report.run.tasks.task_report import annotated_batch
    from trickbag.train.plan.plan import Plan

    if not record.resolved or record.fingerprint != dataset.fingerprint or is_probe(record):
        return []
    plan = Plan.from_stored(record.resolved)
    number = _AUGMENTED if record.task == "classification" else _ANNOTATED
    images = annotated_batch(plan, recipe.tricks, dataset, min(number, plan.batch_size))
    return [Picture(image=image) for image in images]
