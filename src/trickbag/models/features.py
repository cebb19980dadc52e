"""The feature maps of a network in place of its logits, for detection and segmentation: one way for ours and timm's.

Shapes: N images, C channels, H and W pixels.
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
    """What is known of each map that a network gives, in timm's words: channels, reduction,
    module."""

    def __init__(self, levels: Iterable[dict[str, Any]]) -> None:
        self.levels = list(levels)

    def channels(self) -> list[int]:
        """List the channels of each map."""
        return [int(level["num_chs"]) for level in self.levels]

    def reduction(self) -> list[int]:
        """List how many pixels of the image lie on each side of one pixel of each map."""
        return [int(level["reduction"]) for level in self.levels]

    def module_name(self) -> list[str]:
        """List the names of the modules whose output the maps are."""
        return [str(level["module"]) for level in self.levels]


class Features(nn.Module):
    """A network that returns the feature maps of some of its levels, from large to small.

    `out_indices` count the levels from 0, the one next to the image, and from -1, the last; None
    takes all. A ResNet has its stem up to the activation as level 0 and its stages as levels 1 to
    4; what a network has is in `feature_info`. The network, in `network` under its own names, loses
    its classifier. Raises UserError for a level that there is not, and for a network that has no
    feature maps.
    """

    def __init__(self, network: nn.Module, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        levels = getattr(network, "feature_info", None)
        forget = getattr(network, "reset_classifier", None)
        if not levels or forget is None:
            raise UserError(
                f"{type(network).__name__} has no feature maps by level; take another network"
            )
        known = range(-len(levels), len(levels))
        chosen = range(len(levels)) if out_indices is None else out_indices
        if not chosen or any(index not in known for index in chosen):
            raise UserError(
                f"out_indices = {list(chosen)}: must name at least one level, from 0 to "
                f"{len(levels) - 1}, or from -1 "
                "down to count from the last"
            )
        forget(0)
        self.network: Any = network
        self.indices = sorted({index % len(levels) for index in chosen})
        self.feature_info = FeatureInfo(levels[index] for index in self.indices)

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the maps (N, C, H, W) of normalised images; what lies behind the last one is not
        computed."""
        if isinstance(self.network, Classifier):
            maps = self.network.forward_levels(images_NCHW, self.indices[-1] + 1)
            return [maps[index] for index in self.indices]
        maps = self.network.forward_intermediates(
            images_NCHW, indices=self.indices, intermediates_only=True, stop_early=True
        )
        return list(maps)
