"""The feature maps of a network in place of its logits, for detection and segmentation.

This package's networks and those of timm give them in the same way. Shapes: N images, C channels, H
and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from trickbag.errors import UserError
from trickbag.models.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["FeatureInfo", "Features"]


class FeatureInfo:
    """Facts about each map that a network returns, with timm's method names."""

    def __init__(self, levels: Iterable[dict[str, Any]]) -> None:
        self.levels = list(levels)

    def channels(self) -> list[int]:
        """List the number of channels of each map."""
        return [int(level["num_chs"]) for level in self.levels]

    def reduction(self) -> list[int]:
        """List the pixels of the image on each side of one pixel of each map."""
        return [int(level["reduction"]) for level in self.levels]

    def module_name(self) -> list[str]:
        """List the names of the modules whose outputs the maps are."""
        return [str(level["module"]) for level in self.levels]


class Features(nn.Module):
    """A network that returns the feature maps of some of its levels, from large to small.

    `out_indices` count the levels from 0, next to the image, or from -1, the last; None means all.
    In a ResNet level 0 is the stem up to its activation, levels 1 to 4 are the stages. Images (N,
    C, H, W) become maps (N, `feature_info.channels()[i]`, H / `feature_info.reduction()[i]`, W /
    the same). `network` is the wrapped network; it loses its classifier.

    Raises UserError for a level that does not exist, and for a network without feature maps.
    """

    def __init__(self, network: nn.Module, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        levels = getattr(network, "feature_info", None)
        reset_classifier = getattr(network, "reset_classifier", None)
        if not levels or reset_classifier is None:
            raise UserError(
                f"{type(network).__name__} has no feature maps by level", "take another network"
            )
        valid = range(-len(levels), len(levels))
        chosen = range(len(levels)) if out_indices is None else out_indices
        if not chosen or any(index not in valid for index in chosen):
            raise UserError(
                f"out_indices = {list(chosen)}: must name at least one level, from 0 to "
                f"{len(levels) - 1}, or from -1 down to count from the last"
            )
        # It would get no gradients, which torch's DistributedDataParallel takes for an error.
        reset_classifier(0)
        self.network: Any = network
        self.indices = sorted({index % len(levels) for index in chosen})
        self.feature_info = FeatureInfo(levels[index] for index in self.indices)

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the maps of normalised images; nothing behind the last one is computed."""
        if isinstance(self.network, Classifier):
            maps = self.network.forward_levels(images_NCHW, self.indices[-1] + 1)
            return [maps[index] for index in self.indices]
        maps = self.network.forward_intermediates(
            images_NCHW, indices=self.indices, intermediates_only=True, stop_early=True
        )
        return list(maps)
