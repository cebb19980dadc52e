"""The settings of a detector, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trickbag.data.annotations import AnnotationKind
from trickbag.errors import UserError
from trickbag.metrics.metric import TaskKind
from trickbag.ranges import Above, AtLeast, Fraction
from trickbag.settings import Settings

__all__ = ["DetectionConfig"]

_Count = Annotated[int, AtLeast(1, 100_000)]


@dataclass(frozen=True, kw_only=True)
class DetectionConfig(Settings):
    """Faster R-CNN (Ren et al. 2015, arXiv 1506.01497) on the maps of a backbone.

    - `features`: `fpn` pools regions from a feature pyramid of the backbone's last four stages (Lin
      et al. 2017, arXiv 1612.03144). `single` has one map, of the last but one stage, and the last
      stage is the head that classifies regions: the form of He et al. 2018, section 6.1, which is
      gluon-cv's `faster_rcnn_resnet50_v1b_voc`.
    - `channels`: those of the pyramid's maps. `head_width`: of the two layers that classify a
      region where the last stage does not.
    - `anchor_scale`: multiplies the sizes of the anchors, which are 8 strides on each level of a
      pyramid, and 2, 4, 8, 16 and 32 strides on a single map: for a backbone of strides 4 to 32,
      32 to 512 px. `aspect_ratios`: height / width of an anchor.
    - `backbone_norm`: `frozen` keeps the statistics, scale and shift of the backbone's batch
      normalisations, as gluon-cv does; `batch` trains them; `auto` freezes those of a backbone
      that starts from weights.
    - `anchor_samples`, `proposal_samples`: how many of an image's anchors and proposals the losses
      take, at most a half and a quarter of them with an object. None is 512 proposals with a
      pyramid, 128 on a single map.
    - `train_proposals`, `eval_proposals`: how many regions of an image are classified, at most.
      None is 1000 with a pyramid, 300 on a single map.
    - Of the detections those below `score_threshold` go; of two of a class that overlap by more
      than the `nms_threshold` (intersection over union) the one with the lower score; and all but
      the best `max_detections` of an image.
    """

    kind: ClassVar[TaskKind] = "detection"
    annotations: ClassVar[AnnotationKind] = "boxes"

    features: Literal["fpn", "single"] = "fpn"
    channels: Annotated[int, AtLeast(1, 4096)] = 256
    head_width: Annotated[int, AtLeast(1, 65_536)] = 1024
    anchor_scale: Annotated[float, Above(0, 16)] = 1.0
    aspect_ratios: tuple[Annotated[float, Above(0, 100)], ...] = (0.5, 1.0, 2.0)
    backbone_norm: Literal["auto", "frozen", "batch"] = "auto"
    anchor_samples: _Count = 256
    proposal_samples: _Count | None = None
    train_proposals: _Count = 2000
    eval_proposals: _Count | None = None
    score_threshold: Annotated[float, Fraction] = 0.05
    nms_threshold: Annotated[float, Fraction] = 0.5
    max_detections: _Count = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.aspect_ratios:
            raise UserError(
                "detection.aspect_ratios = []: there are no anchors without a ratio",
                "give at least one, such as 1",
            )
