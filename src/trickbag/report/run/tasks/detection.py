"""The sections of a detector's page.

Shapes: A objects and B detections of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import TrickbagError, UserError
from trickbag.metrics.detection import SURE, BoxScore, right_detections
from trickbag.report.format import percent
from trickbag.report.pictures import Compared
from trickbag.report.recipe_text import model_title
from trickbag.report.run.tasks.task_report import ClassRow, TaskReport, chosen_images
from trickbag.tasks.box_predictions import BoxPredictions
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.data.annotations.boxes.part import BoxPart
    from trickbag.data.dataset import Dataset
    from trickbag.report.pictures import Image
    from trickbag.report.run.records import ReportedRun
    from trickbag.report.run.tasks.task_report import ImageScores
    from trickbag.tasks.box_predictions import ImageBoxes

__all__ = ["DetectionReport", "image_f1"]

_FILE = "predictions.json"


class DetectionReport(TaskReport):
    """The sections of detection, see `TaskReport`."""

    annotations = "boxes"
    score = "map50"
    tiles = ("map", "map50_voc07", "map75", "test_map50", "test_map")
    curves = (
        ("Mean average precision", "map50", "mAP at 0.5 in %"),
        ("Training loss", "train_loss", "sum of the losses"),
    )
    columns = ("objects", "AP at 0.5", "AP, eleven points", "recall", "precision", "F1")
    bar = 1
    image_score = "F1"
    image_note = (
        f"F1 and recall are of the boxes with a score of {SURE:g} at least, at an intersection "
        "over union of 0.5. Of an image without objects the recall counts as 100 %, and so does "
        "the F1 if it has no box either."
    )
    class_note = (
        "Lowest average precision first. AP at 0.5 is the area under the interpolated curve of "
        "precision and recall, AP of eleven points that of Pascal VOC 2007; a box is right from an "
        f"intersection over union of 0.5 on. Recall and precision are of boxes with a score of "
        f"{SURE:g} at least. Difficult objects count neither as found nor as missed."
    )
    comparison_note = (
        "On the left the objects of an image, dashed if they are difficult; on the right the boxes "
        f"with a score of {SURE:g} at least. Images are ordered by the F1 of these boxes: shown "
        "are those of the lowest, and some around the median. Look for missing and wrong boxes of "
        "the truth among the first."
    )

    def network(self, record: ReportedRun) -> str:
        """Name the detector."""
        task = record.recipe.get("task")
        features = task.get("features", "fpn") if isinstance(task, Mapping) else "fpn"
        form = "with a feature pyramid" if features == "fpn" else "on a single map"
        model = record.resolved.get("model", record.recipe.get("model"))
        return f"Faster R-CNN {form} of {model_title(model)}"

    def images(self, folder: Path) -> int | None:
        """Count the images of `predictions.json`."""
        predictions = BoxPredictions.read(folder / _FILE)
        return None if predictions is None else len(predictions.images)

    def image_scores(self, record: ReportedRun) -> ImageScores:
        """Return F1 and recall of the boxes of each image, see `TaskReport`.

        The truth is read from the data of the run. An image without objects has an F1 of 100 if it
        has no box either, and no recall: that is 100 then too.
        """
        predictions = BoxPredictions.read(record.folder / _FILE)
        if predictions is None:
            raise UserError(f"{record.folder.name} has no {_FILE}")
        part, places = _validated(record, predictions)
        scores: dict[str, dict[str, float]] = {self.image_score: {}, "recall": {}}
        for image in (image for image in predictions.images if image.file in places):
            objects_A6 = part.boxes(places[image.file])
            right, counted, objects = _counts(_sure(image, predictions.classes), objects_A6)
            total = counted + objects
            scores[self.image_score][image.file] = 200 * right / total if total else 100.0
            scores["recall"][image.file] = 100 * right / objects if objects else 100.0
        return scores

    def rows(self, record: ReportedRun) -> list[ClassRow]:
        """Return the scores of the classes."""
        return [
            ClassRow(
                name=name,
                score=score.average_precision,
                cells=(
                    f"{score.support:,}",
                    percent(score.average_precision, 1),
                    percent(score.average_precision_voc07, 1),
                    *(percent(x, 1) for x in (score.recall, score.precision, score.f1)),
                ),
            )
            for name, score in record.classes.items()
            if isinstance(score, BoxScore)
        ]

    def compared(self, folder: Path, dataset: Dataset) -> list[Compared]:
        """Draw the boxes of the worst and of typical images beside the truth."""
        from trickbag.data.annotations.boxes.part import BoxPart
        from trickbag.data.decoding.decode import DecodeError

        predictions, part = BoxPredictions.read(folder / _FILE), dataset.val
        if predictions is None or not isinstance(part, BoxPart):
            return []
        if predictions.classes != dataset.classes:
            return []
        # The file has the names as UTF-8 can hold them.
        places = {as_utf8(name).decode(): i for i, name in enumerate(part.names)}
        known = [image for image in predictions.images if image.file in places]
        scores = {
            image.file: image_f1(_sure(image, predictions.classes), part.boxes(places[image.file]))
            for image in known
        }
        ranked = [
            (score, number)
            for number, image in enumerate(known)
            if (score := scores[image.file]) is not None
        ]
        pictures = []
        for group, number in chosen_images(ranked):
            image = known[number]
            place = places[image.file]
            try:
                pixels = part.read(place)
            except DecodeError:  # damaged since it was predicted
                continue
            drawn = _beside(
                pixels, part.boxes(place), _sure(image, dataset.classes), dataset.classes
            )
            pictures.append(
                Compared(image=drawn, name=image.file, group=group, score=scores[image.file])
            )
        return pictures

    def drawn(self, image: Image, targets: Tensor, classes: Sequence[str]) -> Image:
        """Draw the objects of an image; their rows are class, box and whether it is difficult."""
        from trickbag.report.box_pictures import draw_boxes

        objects_A6 = targets[targets[:, 0] >= 0].double().numpy()
        return draw_boxes(
            image,
            objects_A6[:, 1:5],
            objects_A6[:, 0].astype(int).tolist(),
            classes,
            difficult_B=(objects_A6[:, 5] > 0).tolist(),
        )


def image_f1(detections_B6: NDArray[np.float64], objects_A6: NDArray[np.float64]) -> float | None:
    """Return the F1 of the boxes of one image at an IoU of 0.5, in percent.

    None where there is neither an object nor a box. Difficult objects, and boxes on them, do not
    count. Detections are class, box and score; objects are class, box and whether it is difficult.
    """
    right, counted, objects = _counts(detections_B6, objects_A6)
    total = counted + objects
    return 200 * right / total if total else None


def _counts(
    detections_B6: NDArray[np.float64], objects_A6: NDArray[np.float64]
) -> tuple[int, int, int]:
    """Count the right boxes of an image, all of its boxes, and its objects; see `image_f1`."""
    right = counted = 0
    for label in np.unique(detections_B6[:, 0]):
        judged = right_detections(
            detections_B6[detections_B6[:, 0] == label], objects_A6[objects_A6[:, 0] == label]
        )
        right += int((judged == 1).sum())
        counted += int((judged >= 0).sum())
    return right, counted, int((objects_A6[:, 5] == 0).sum())


def _validated(record: ReportedRun, predictions: BoxPredictions) -> tuple[BoxPart, dict[str, int]]:
    """Open the validation images of a run; return them, and the place of each by its name.

    Raises UserError if the data cannot be read, or are not those of the run.
    """
    from trickbag.data.annotations.boxes.part import BoxPart
    from trickbag.data.dataset import prepare
    from trickbag.recipe import Recipe

    try:
        recipe = Recipe.from_dict(record.recipe)
        dataset = prepare(recipe.data, annotations=recipe.task.annotations)
    except TrickbagError as error:
        raise UserError(
            f"the boxes of the truth are in the data of {record.folder.name}, which cannot be "
            f"read: {error}"
        ) from error
    part = dataset.val
    # The file has the names as UTF-8 can hold them.
    places = {as_utf8(name).decode(): i for i, name in enumerate(part.names)}
    same = record.fingerprint == dataset.fingerprint and predictions.classes == dataset.classes
    if not isinstance(part, BoxPart) or not same:
        raise UserError(f"the data of {record.folder.name} have changed since the run")
    return part, places


def _sure(image: ImageBoxes, classes: tuple[str, ...]) -> NDArray[np.float64]:
    detections_B6 = image.detections(classes)
    return detections_B6[detections_B6[:, 5] >= SURE]


def _beside(
    pixels: Image,
    objects_A6: NDArray[np.float64],
    detections_B6: NDArray[np.float64],
    classes: tuple[str, ...],
) -> Image:
    from trickbag.report.box_pictures import beside, draw_boxes

    truth = draw_boxes(
        pixels,
        objects_A6[:, 1:5],
        objects_A6[:, 0].astype(int).tolist(),
        classes,
        difficult_B=(objects_A6[:, 5] > 0).tolist(),
    )
    predicted = draw_boxes(
        pixels,
        detections_B6[:, 1:5],
        detections_B6[:, 0].astype(int).tolist(),
        classes,
        scores_B=detections_B6[:, 5].tolist(),
    )
    return beside((truth, predicted), ("truth", "predicted"))
