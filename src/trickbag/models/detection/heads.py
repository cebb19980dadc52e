"""The second stage of a detector: regions to classes and boxes, by torchvision's `RoIHeads`.

Shapes: R regions, C channels, K classes without the background.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from trickbag.models.detection.proposals import SeededSampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.models.detection.config import DetectionConfig

__all__ = ["StageHead", "region_heads", "region_pool"]

POOLED, POOLED_FOR_STAGE = 7, 14
"""The side of a pooled region; a stage that is the head halves it (gluon-cv)."""

PYRAMID_SAMPLES, SINGLE_SAMPLES = 512, 128
OBJECT_IOU = 0.5
POSITIVE_FRACTION = 0.25
SAMPLING_RATIO = 2

CANONICAL_SIZE, CANONICAL_LEVEL = 224, 4
"""A region of 224 px is pooled from the map of stride 2^4 (Lin et al. 2017, equation 1)."""


class StageHead(nn.Module):
    """The last stage of a network as the head of regions: (R, C, 14, 14) to (R, `channels`).

    Its modules belong to the network, which registers their parameters.
    """

    def __init__(self, stage: Sequence[nn.Module], channels: int) -> None:
        super().__init__()
        # In a tuple torch does not see them: they would have a second name in the weights.
        self.stage = tuple(stage)
        self.channels = channels

    def forward(self, regions_RCHW: Tensor) -> Tensor:
        """Return the mean over the pixels of the stage's map."""
        x = regions_RCHW
        for module in self.stage:
            x = module(x)
        pooled_RC: Tensor = x.mean((2, 3))
        return pooled_RC


class FullPrecisionPredictor(FastRCNNPredictor):  # type: ignore[misc]  # torchvision has no types
    """torchvision's last layers, with outputs in float32, whatever autocast computes in."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (R, K + 1) and the box offsets (R, 4 (K + 1)) of regions."""
        logits, offsets = super().forward(x)
        return logits.float(), offsets.float()


def region_pool(names: Sequence[str], strides: Sequence[int], side: int, scale: float) -> Any:
    """Build the pool of regions from maps of these names and strides, to `side` x `side`.

    Left to itself torchvision guesses the strides from the first images that it sees, which is
    wrong for a small image in a large canvas. `scale` is that of the anchors: with smaller ones a
    map has smaller regions.
    """
    pool: Any = MultiScaleRoIAlign(list(names), side, SAMPLING_RATIO)
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = initLevelMapper(
        int(math.log2(strides[0])),
        int(math.log2(strides[-1])),
        canonical_scale=CANONICAL_SIZE * scale,
        canonical_level=CANONICAL_LEVEL,
    )
    return pool


def region_heads(
    config: DetectionConfig,
    names: Sequence[str],
    strides: Sequence[int],
    channels: int,
    num_classes: int,
    stage: StageHead | None,
) -> RoIHeads:
    """Build the second stage for maps of `channels` channels; `stage` is its head, if there is."""
    side = POOLED if stage is None else POOLED_FOR_STAGE
    head: nn.Module = stage or TwoMLPHead(channels * side**2, config.head_width)
    width = config.head_width if stage is None else stage.channels
    samples = config.proposal_samples or (
        PYRAMID_SAMPLES if config.features == "fpn" else SINGLE_SAMPLES
    )
    heads: Any = RoIHeads(
        region_pool(names, strides, side, config.anchor_scale),
        head,
        FullPrecisionPredictor(width, num_classes + 1),
        OBJECT_IOU,
        OBJECT_IOU,
        samples,
        POSITIVE_FRACTION,
        None,
        config.score_threshold,
        config.nms_threshold,
        config.max_detections,
    )
    heads.fg_bg_sampler = SeededSampler(samples, POSITIVE_FRACTION)
    return heads
