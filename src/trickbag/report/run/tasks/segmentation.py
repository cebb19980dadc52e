"""The sections of a segmenter's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trickbag.metrics.segmentation import PixelScore
from trickbag.report.format import percent
from trickbag.report.recipe_text import model_title
from trickbag.report.run.tasks.task_report import ClassRow, TaskReport

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.report.pictures import Compared
    from trickbag.report.run.records import ReportedRun

__all__ = ["SegmentationReport"]


class SegmentationReport(TaskReport):
    """The sections of segmentation, see `TaskReport`."""

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
    class_note = (
        "Lowest IoU first. IoU: the pixels that are of the class and predicted as it, as a share "
        "of those that are either. Recall: the share of the class's pixels that were found. "
        "Precision: the share of the pixels predicted as the class that are of it."
    )
    comparison_note = ""

    def network(self, record: ReportedRun) -> str:
        """Name the segmenter."""
        task = record.recipe.get("task")
        head = task.get("head", "fcn") if isinstance(task, Mapping) else "fcn"
        model = record.resolved.get("model", record.recipe.get("model"))
        return f"{'FCN' if head == 'fcn' else 'DeepLabV3'} on {model_title(model)}"

    def images(self, folder: Path) -> int | None:
        """Return None: the number is not read."""
        return None

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
        """Return no picture."""
        return []
