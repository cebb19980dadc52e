"""What a network is trained for, as settings: the part `task` of a recipe.

The recipe's `model` is the network that classifies, or the backbone of a detector or a segmenter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trickbag.data.annotations import AnnotationKind
from trickbag.errors import UserError, choices, shown
from trickbag.metrics.metric import TaskKind
from trickbag.models.detection.config import DetectionConfig
from trickbag.ranges import AtLeast
from trickbag.settings import Settings, read

__all__ = [
    "ClassificationConfig",
    "DetectionConfig",
    "SegmentationConfig",
    "TaskConfig",
    "read_task",
]


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(Settings):
    """Classes of whole images: one an image, or with `data.multi_label` several."""

    kind: ClassVar[TaskKind] = "classification"
    annotations: ClassVar[AnnotationKind] = "classes"


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(Settings):
    """The class of each pixel, by a fully convolutional network on a dilated backbone.

    - head: FCN (Long et al. 2015) or DeepLabV3 (Chen et al. 2017).
    - auxiliary_weight: the weight of the loss of a second head on the last stage but one.
    - output_stride: the pixels of an image on each side of one pixel of the last map.
    """

    kind: ClassVar[TaskKind] = "segmentation"
    annotations: ClassVar[AnnotationKind] = "masks"

    head: Literal["fcn", "deeplabv3"] = "fcn"
    auxiliary_weight: Annotated[float, AtLeast(0, 1e6)] = 0.5
    output_stride: Literal[8, 16, 32] = 8


TaskConfig = ClassificationConfig | DetectionConfig | SegmentationConfig
"""The settings of a task."""


def read_task(data: object) -> TaskConfig:
    """Build the settings of a task from plain data.

    Raises UserError for an unknown kind or setting, a wrong type or a value out of range.
    """
    kinds: dict[str, type[TaskConfig]] = {
        config.kind: config
        for config in (ClassificationConfig, DetectionConfig, SegmentationConfig)
    }
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise UserError(f"task = {shown(data)}: must be a mapping with kind {' or '.join(kinds)}")
    if data["kind"] not in kinds:
        raise UserError(f"task.kind = {data['kind']!r}: must be one of {choices(kinds)}")
    return read(kinds[data["kind"]], data, "task")
