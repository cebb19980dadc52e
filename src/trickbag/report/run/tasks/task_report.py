"""What the page of a run has of its task alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from trickbag.data.dataset import Dataset
    from trickbag.metrics.metric import TaskKind
    from trickbag.report.pictures import Compared, Image
    from trickbag.report.run.records import ReportedRun
    from trickbag.train.plan.plan import Plan
    from trickbag.tricks.trick import Trick

__all__ = [
    "ClassRow",
    "ImageScores",
    "TaskReport",
    "annotated_batch",
    "chosen_images",
    "require_same_task",
    "task_report",
]

_EACH = 6
"""The images of each group that a page shows."""

WORST, TYPICAL = "The worst", "Around the median"


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A row of the table of classes.

    `score` in percent orders the rows, the lowest first, and is drawn as a bar; None is undefined.
    `cells` are the texts of the columns.
    """

    name: str
    score: float | None
    cells: tuple[str, ...]


ImageScores = Mapping[str, Mapping[str, float]]
"""The title of a score, and then in percent by the name of an image; all have the same images."""


class TaskReport(ABC):
    """The sections of a task.

    - annotations: what the images of a batch have.
    - score: the metric of the headline. tiles: those beside it.
    - curves: (caption, metric, title of the axis) of the charts over the epochs.
    - columns, bar: the titles of the table of classes, and the place of the column with a bar.
    - image_score: the name of the score by which images are chosen. image_note: what is said of
      the scores of images where two runs are compared by them.
    - class_note, comparison_note: what the table says, and how its images were chosen.
    """

    annotations: str
    score: str
    tiles: tuple[str, ...]
    curves: tuple[tuple[str, str, str], ...]
    columns: tuple[str, ...]
    bar: int
    image_score: str
    image_note: str
    class_note: str
    comparison_note: str

    @abstractmethod
    def network(self, record: ReportedRun) -> str:
        """Name the network around the backbone."""

    @abstractmethod
    def images(self, folder: Path) -> int | None:
        """Return the number of validation images; None if it is not known."""

    @abstractmethod
    def image_scores(self, record: ReportedRun) -> ImageScores:
        """Return the scores of each validation image, those of `image_score` first.

        Raises UserError where there are none; its reason says why.
        """

    @abstractmethod
    def rows(self, record: ReportedRun) -> list[ClassRow]:
        """Return the table of classes, in any order."""

    @abstractmethod
    def compared(self, folder: Path, dataset: Dataset) -> list[Compared]:
        """Draw predictions for some validation images beside the truth."""

    @abstractmethod
    def drawn(self, image: Image, targets: Tensor, classes: Sequence[str]) -> Image:
        """Draw what the network is to learn of an image of a batch over it."""


def annotated_batch(plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset, n: int) -> list[Image]:
    """Return up to `n` images of a batch as the network sees them, with what it is to learn."""
    from trickbag.train.preview import augmented_batch

    images, targets = augmented_batch(plan, tricks, dataset, n)
    kind = plan.build_task().kind
    if kind == "classification":
        return images
    report = task_report(kind)
    pairs = zip(images, targets, strict=True)
    return [report.drawn(image, target, dataset.classes) for image, target in pairs]


def task_report(kind: TaskKind) -> TaskReport:
    """Return the sections of a task."""
    if kind == "detection":
        from trickbag.report.run.tasks.detection import DetectionReport

        return DetectionReport()
    from trickbag.report.run.tasks.segmentation import SegmentationReport

    return SegmentationReport()


def require_same_task(first: ReportedRun, second: ReportedRun) -> None:
    """Raise UserError for two runs of different tasks, which have no metric in common."""
    if first.task != second.task:
        raise UserError(
            f"{first.folder} is a run of {first.task} and {second.folder} of {second.task}",
            f"give two runs of one task: {choices((first.task, second.task))}",
        )


def chosen_images(scores: Sequence[tuple[float, int]]) -> list[tuple[str, int]]:
    """Choose images by their scores: (score, place) to (group, place).

    These are the worst ones, then those around the median that are not among them.
    """
    ranked = [place for _, place in sorted(scores)]
    start = max(0, (len(ranked) - _EACH) // 2)
    typical = [place for place in ranked[start : start + _EACH] if place not in ranked[:_EACH]]
    return [(WORST, place) for place in ranked[:_EACH]] + [(TYPICAL, place) for place in typical]
