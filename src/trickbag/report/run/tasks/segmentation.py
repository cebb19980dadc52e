"""The sections of a segmenter's page.

Shapes: n images of the validation part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.metrics.segmentation import PixelScore
from trickbag.report.format import percent
from trickbag.report.pictures import Compared
from trickbag.report.recipe_text import model_title
from trickbag.report.run.tasks.task_report import ClassRow, TaskReport, chosen_images
from trickbag.tasks.pixel_scores import PIXEL_SCORES, read_scores
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.data.dataset import Dataset
    from trickbag.evaluate.trained import Trained
    from trickbag.report.pictures import Image
    from trickbag.report.run.records import ReportedRun
    from trickbag.report.run.tasks.task_report import ImageScores

__all__ = ["SegmentationReport"]


class SegmentationReport(TaskReport):
    """The sections of segmentation, see `TaskReport`."""

    annotations = "mask"
    score = "miou"
    tiles = ("pixel_accuracy", "mean_class_accuracy", "test_miou", "test_pixel_accuracy")
    curves = (
        ("Mean IoU", "miou", "mIoU in %"),
        ("Pixel accuracy", "pixel_accuracy", "pixel accuracy in %"),
        ("Training loss", "train_loss", "loss in nats"),
    )
    columns = ("pixels", "IoU", "recall", "precision")
    bar = 1
    image_score = "mIoU"
    image_note = "The mIoU of an image is over the classes that it shows or is predicted to show."
    class_note = (
        "Lowest IoU first. IoU: the pixels that are of the class and predicted as it, as a share "
        "of those that are either. Recall: the share of the class's pixels that were found. "
        "Precision: the share of the pixels predicted as the class that are of it."
    )
    comparison_note = (
        "The image, its true and its predicted mask; pixels without a class are dark. Images are "
        "ordered by their mean IoU, over the classes that an image shows or is predicted to show: "
        "shown are those of the lowest, and some around the median. Look for wrong masks of the "
        "truth among the first. The mean over images is not the mean IoU above, which counts the "
        "pixels of all images together."
    )

    def network(self, record: ReportedRun) -> str:
        """Name the segmenter."""
        task = record.recipe.get("task")
        head = task.get("head", "fcn") if isinstance(task, Mapping) else "fcn"
        model = record.resolved.get("model", record.recipe.get("model"))
        return f"{'FCN' if head == 'fcn' else 'DeepLabV3'} on {model_title(model)}"

    def images(self, folder: Path) -> int | None:
        """Count the images of `pixel_scores.csv`."""
        scores = read_scores(folder / PIXEL_SCORES)
        return None if scores is None else len(scores)

    def image_scores(self, record: ReportedRun) -> ImageScores:
        """Return the mean IoU and the pixel accuracy of each image, see `TaskReport`."""
        scores = read_scores(record.folder / PIXEL_SCORES)
        if scores is None:
            raise UserError(f"{record.folder.name} has no {PIXEL_SCORES}")
        return {
            self.image_score: {row.image: row.miou for row in scores},
            "pixel accuracy": {row.image: row.pixel_accuracy for row in scores},
        }

    def rows(self, record: ReportedRun) -> list[ClassRow]:
        """Return the scores of the classes."""
        return [
            ClassRow(
                name=name,
                score=score.iou,
                cells=(
                    f"{score.support:,}",
                    *(percent(x, 1) for x in (score.iou, score.recall, score.precision)),
                ),
            )
            for name, score in record.classes.items()
            if isinstance(score, PixelScore)
        ]

    def compared(self, folder: Path, dataset: Dataset) -> list[Compared]:
        """Draw the masks of the worst and of typical images beside the truth.

        `pixel_scores.csv` tells which these are; the network predicts them once more.
        """
        from trickbag.data.annotations.masks.part import MaskPart
        from trickbag.data.decoding.decode import DecodeError
        from trickbag.evaluate.trained import Trained

        part, rows = dataset.val, read_scores(folder / PIXEL_SCORES)
        if not rows or not isinstance(part, MaskPart):
            return []
        trained = Trained.load(folder, "cpu")
        if trained.classes != dataset.classes:
            return []
        # The file has the names as UTF-8 can hold them.
        places = {as_utf8(name).decode(): i for i, name in enumerate(part.names)}
        pictures = []
        for group, number in chosen_images([(row.miou, i) for i, row in enumerate(rows)]):
            row = rows[number]
            try:
                place = places[row.image]
                image, truth_HW = part.read(place), part.mask(place)
            except (KeyError, DecodeError):  # gone, or damaged since it was predicted
                continue
            if (drawn := _beside(trained, image, truth_HW)) is not None:
                pictures.append(Compared(image=drawn, name=row.image, group=group, score=row.miou))
        return pictures

    def drawn(self, image: Image, targets: Tensor, classes: Sequence[str]) -> Image:
        """Draw a mask over an image."""
        from trickbag.report.mask_pictures import draw_mask

        return draw_mask(image, targets.numpy(), len(classes))


def _beside(trained: Trained, image: Image, truth_HW: NDArray[np.uint8]) -> Image | None:
    """Draw the predicted mask of an image beside the true one; None if there is none."""
    from trickbag.evaluate.by_task.predictor import TaskPredictor
    from trickbag.report.mask_pictures import mask_comparison
    from trickbag.tasks.mask_predictions import ImageMask

    (prediction,) = TaskPredictor(trained=trained, batch_size=1, threads=1).predict([image])
    predicted = prediction.predicted
    if not isinstance(predicted, ImageMask) or predicted.mask is None:
        return None
    if predicted.mask.shape != truth_HW.shape:
        return None
    return mask_comparison(image, predicted.mask, trained.classes, truth_HW)
