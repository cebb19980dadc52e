"""A detector as a graph of fixed shapes, which `torch.export` and ONNX can hold.

torchvision's detector keeps lists whose lengths depend on the image, which the exporter refuses.
Here what falls away keeps its place with a score of -1. Shapes: C channels, H and W pixels, B
boxes, R regions, K classes, D detections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.ops import nms, roi_align

if TYPE_CHECKING:
    from trickbag.models.detection.detector import Detector

__all__ = ["CANDIDATES", "DetectionGraph"]

CANDIDATES = 4096
"""How many pairs of a region and a class compete for being detections, at most: the best."""

NOTHING = -1.0
"""The score of what is no detection; real scores are probabilities."""

LEAST_SIDE = 1e-2
"""Boxes with a shorter side are no detections, as in torchvision."""


class DetectionGraph(nn.Module):
    """The objects in one image (1, C, H, W) of a fixed size, as `Detector.detect` returns them.

    The second input, `extent` (2,), has height and width of the image within the canvas. The
    outputs are boxes (D, 4), labels (D,) int64 and scores (D,), best first; D is the config's
    `max_detections`. Places that are left over have score and label -1 and an empty box.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector.eval()

    def forward(self, images_1CHW: Tensor, extent_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, labels and scores."""
        detector, heads = self.detector, self.detector.roi_heads
        limits_4 = extent_2.to(images_1CHW.dtype).flip(0).repeat(2)
        maps = detector.maps(images_1CHW)
        regions_R4, region_scores_R = self._regions(list(maps.values()), limits_4)
        pooled = self._pooled([maps[name] for name in detector.names], regions_R4)
        logits_RK, offsets = heads.box_predictor(heads.box_head(pooled))
        scores_RK = logits_RK.softmax(-1)[:, 1:]
        boxes = heads.box_coder.decode_single(offsets, regions_R4)
        boxes_RK4 = _clipped(boxes.reshape(*logits_RK.shape, 4)[:, 1:], limits_4)
        real = (
            (region_scores_R[:, None] >= 0)
            & (scores_RK > heads.score_thresh)
            & (_least_side(boxes_RK4) >= LEAST_SIDE)
        )
        scores = torch.where(real, scores_RK, NOTHING).flatten()
        labels = (
            torch.arange(scores_RK.shape[1], device=scores_RK.device).expand_as(scores_RK).flatten()
        )
        chosen = scores.topk(min(len(scores), CANDIDATES)).indices
        boxes, labels, scores = boxes_RK4.flatten(0, 1)[chosen], labels[chosen], scores[chosen]
        scores = _suppressed(boxes, scores, labels, heads.nms_thresh)
        scores, best = _padded(scores, heads.detections_per_img).topk(heads.detections_per_img)
        nothing = scores < 0
        # What lies behind the end of the candidates is nothing too.
        best = best.clamp(max=len(labels) - 1)
        return boxes[best] * ~nothing[:, None], torch.where(nothing, -1, labels[best]), scores

    def _regions(self, maps: list[Tensor], limits_4: Tensor) -> tuple[Tensor, Tensor]:
        """Return the proposals (R, 4), best first, and their scores."""
        rpn = self.detector.rpn
        anchors = rpn.anchor_generator.grid(maps)
        boxes, scores, levels = [], [], []
        for level, (objectness, offsets) in enumerate(zip(*rpn.head(maps), strict=True)):
            # As in the anchors: row by row, pixel by pixel, the anchors of a pixel together.
            logits_B = objectness.permute(0, 2, 3, 1).flatten()
            count = objectness.shape[1]
            offsets_B4 = offsets.unflatten(1, (count, 4)).permute(0, 3, 4, 1, 2).reshape(-1, 4)
            best = logits_B.topk(min(len(logits_B), rpn.pre_nms_top_n())).indices
            boxes.append(rpn.box_coder.decode_single(offsets_B4[best], anchors[level][best]))
            scores.append(logits_B[best].sigmoid())
            levels.append(torch.full_like(best, level))
        boxes_B4 = _clipped(torch.cat(boxes), limits_4)
        real = _least_side(boxes_B4) >= rpn.min_size
        scores_B = torch.where(real, torch.cat(scores), NOTHING)
        scores_B = _suppressed(boxes_B4, scores_B, torch.cat(levels), rpn.nms_thresh)
        scores_R, best = scores_B.topk(min(len(scores_B), rpn.post_nms_top_n()))
        return boxes_B4[best], scores_R

    def _pooled(self, maps: list[Tensor], regions_R4: Tensor) -> Tensor:
        """Return the regions of the maps to which their sizes belong."""
        pool = self.detector.roi_heads.box_roi_pool
        rois_R5 = torch.cat([torch.zeros_like(regions_R4[:, :1]), regions_R4], 1)
        if len(maps) == 1:
            return self._of_map(maps[0], rois_R5, pool.scales[0])
        levels_R = pool.map_levels([regions_R4])
        pooled = regions_R4.new_zeros(len(rois_R5), maps[0].shape[1], *pool.output_size)
        for level, (map_1CHW, scale) in enumerate(zip(maps, pool.scales, strict=True)):
            (places,) = torch.where(levels_R == level)
            pooled = pooled.index_put((places,), self._of_map(map_1CHW, rois_R5[places], scale))
        return pooled

    def _of_map(self, map_1CHW: Tensor, rois_R5: Tensor, scale: float) -> Tensor:
        pool = self.detector.roi_heads.box_roi_pool
        pooled: Tensor = roi_align(map_1CHW, rois_R5, pool.output_size, scale, pool.sampling_ratio)
        return pooled


def _clipped(boxes_B4: Tensor, limits_4: Tensor) -> Tensor:
    return torch.minimum(boxes_B4.clamp(min=0), limits_4)


def _least_side(boxes_B4: Tensor) -> Tensor:
    return (boxes_B4[..., 2:] - boxes_B4[..., :2]).amin(-1)


def _suppressed(boxes_B4: Tensor, scores_B: Tensor, groups_B: Tensor, iou: float) -> Tensor:
    """Return the scores with NOTHING for boxes that overlap a better one of their group."""
    # Groups lie apart, so that their boxes never overlap. A box of no score suppresses none: all
    # others are better.
    shift_B1 = groups_B.to(boxes_B4.dtype)[:, None] * (boxes_B4.max() + 1)
    kept = nms(boxes_B4 + shift_B1, scores_B, iou)
    chosen_B = torch.zeros_like(scores_B).index_fill(0, kept, 1.0)
    return torch.where(chosen_B > 0, scores_B, NOTHING)


def _padded(scores_B: Tensor, number: int) -> Tensor:
    missing = max(0, number - len(scores_B))
    return nn.functional.pad(scores_B, (0, missing), value=NOTHING)
