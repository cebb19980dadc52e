"""The region proposal network: torchvision's, with our anchors, samples and precision.

Shapes: N images, M boxes, A anchors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchvision.models.detection.image_list import ImageList

    from trickbag.models.detection.config import DetectionConfig

__all__ = ["SeededSampler", "StrideAnchors", "region_proposals"]

PYRAMID_SCALES = (8.0,)
SINGLE_SCALES = (2.0, 4.0, 8.0, 16.0, 32.0)
"""The sizes of anchors in strides of their map."""

PYRAMID_CANDIDATES = {"training": 2000, "testing": 1000}
SINGLE_CANDIDATES = {"training": 12_000, "testing": 6000}
"""How many anchors of a map can become proposals: the best, before overlapping ones go."""

PYRAMID_PROPOSALS, SINGLE_PROPOSALS = 1000, 300
"""How many proposals of an image are classified in evaluation."""

OBJECT_IOU, BACKGROUND_IOU = 0.7, 0.3
POSITIVE_FRACTION = 0.5
NMS_IOU = 0.7


class StrideAnchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """torchvision's anchors with the strides given, and in float32.

    torchvision divides the size of the images by that of the map, rounded down: of an image of 97
    px and its map of 25 rows it makes a stride of 3 px. In bfloat16, the type of the maps under
    autocast, coordinates above 256 px would be rounded to even numbers and worse.
    """

    def __init__(
        self, strides: Sequence[int], scales: Sequence[float], ratios: Sequence[float]
    ) -> None:
        sizes = tuple(tuple(scale * stride for scale in scales) for stride in strides)
        super().__init__(sizes, (tuple(ratios),) * len(strides))
        self.strides = tuple(strides)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Return the anchors (A, 4) of all maps, once for each image."""
        anchors_A4 = torch.cat(self.grid(feature_maps))
        return [anchors_A4 for _ in image_list.image_sizes]

    def grid(self, feature_maps: list[Tensor]) -> list[Tensor]:
        """Return the anchors (A, 4) of each map."""
        self.set_cell_anchors(torch.float32, feature_maps[0].device)
        sizes = [list(map_NCHW.shape[-2:]) for map_NCHW in feature_maps]
        anchors: list[Tensor] = self.grid_anchors(sizes, [[s, s] for s in self.strides])
        return anchors


class SeededSampler(BalancedPositiveNegativeSampler):  # type: ignore[misc]
    """torchvision's choice of samples, drawn from a generator of its own.

    It is on the CPU, so that all devices draw the same.
    """

    def __init__(self, number: int, positive_fraction: float) -> None:
        super().__init__(number, positive_fraction)
        self.generator = torch.Generator()

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the masks of the positive and negative samples of each image.

        They are chosen of positive and of zero values; -1 is neither.
        """
        positives, negatives = [], []
        for labels_A in matched_idxs:
            positive, negative = (torch.where(mask)[0] for mask in (labels_A >= 1, labels_A == 0))
            positive_number = min(
                len(positive), int(self.batch_size_per_image * self.positive_fraction)
            )
            negative_number = min(len(negative), self.batch_size_per_image - positive_number)
            positives.append(self._mask(labels_A, positive, positive_number))
            negatives.append(self._mask(labels_A, negative, negative_number))
        return positives, negatives

    def _mask(self, labels_A: Tensor, indices: Tensor, number: int) -> Tensor:
        order = torch.randperm(len(indices), generator=self.generator)[:number]
        mask = torch.zeros_like(labels_A, dtype=torch.uint8)
        mask[indices[order.to(indices.device)]] = 1
        return mask


class FullPrecisionRPNHead(RPNHead):  # type: ignore[misc]
    """torchvision's head of a proposal network, with outputs in float32.

    Under autocast its convolutions have another type; boxes are computed in float32.
    """

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and box offsets of each map."""
        logits, offsets = super().forward(x)
        return [tensor.float() for tensor in logits], [tensor.float() for tensor in offsets]


def region_proposals(
    config: DetectionConfig, strides: Sequence[int], channels: int
) -> RegionProposalNetwork:
    """Build the proposal network for maps of `channels` channels and these strides."""
    pyramid = config.features == "fpn"
    scales = PYRAMID_SCALES if pyramid else SINGLE_SCALES
    anchors = StrideAnchors(
        strides, [config.anchor_scale * scale for scale in scales], config.aspect_ratios
    )
    evaluated = config.eval_proposals or (PYRAMID_PROPOSALS if pyramid else SINGLE_PROPOSALS)
    network: Any = RegionProposalNetwork(
        anchors,
        FullPrecisionRPNHead(channels, anchors.num_anchors_per_location()[0]),
        OBJECT_IOU,
        BACKGROUND_IOU,
        config.anchor_samples,
        POSITIVE_FRACTION,
        PYRAMID_CANDIDATES if pyramid else SINGLE_CANDIDATES,
        {"training": config.train_proposals, "testing": evaluated},
        NMS_IOU,
    )
    network.fg_bg_sampler = SeededSampler(config.anchor_samples, POSITIVE_FRACTION)
    return network
