"""What a network is trained for: classification, detection, segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.models.task_config import DetectionConfig, SegmentationConfig

if TYPE_CHECKING:
    from trickbag.models.task_config import TaskConfig
    from trickbag.tasks.task import Task

__all__ = ["task_of"]


def task_of(config: TaskConfig, *, num_classes: int, multi_label: bool = False) -> Task:
    """Return what the trainer does for a task; `multi_label` is of classification alone."""
    if isinstance(config, DetectionConfig):
        from trickbag.tasks.detection import DetectionTask

        return DetectionTask(config=config, num_classes=num_classes)
    if isinstance(config, SegmentationConfig):
        from trickbag.tasks.segmentation import SegmentationTask

        return SegmentationTask(config=config, num_classes=num_classes)
    from trickbag.tasks.classification import ClassificationTask

    return ClassificationTask(num_classes=num_classes, multi_label=multi_label)
