"""Three-augment: each image is made grey, solarized or blurred, and its colours are changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.policies.policies import MAX_RADIUS, ThreeAugmentPolicy
from trickbag.ranges import AtLeast, Fraction
from trickbag.tricks.trick import Trick, set_policy

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["ThreeAugment"]


@dataclass(frozen=True, kw_only=True)
class ThreeAugment(Trick):
    """Make each image grey, solarize it or blur it, one of the three, and change its colours.

    The three are equally likely. The standard deviation of the Gaussian blur is uniform from 0.1 to
    `radius`, in pixels. Brightness, contrast and saturation are scaled by factors from 1 -
    `color_jitter` to 1 + `color_jitter`, in random order; 0 leaves them.
    """

    name: ClassVar[str] = "three_augment"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Touvron et al. 2022, arXiv 2204.07118, section 3"
    needs_rgb: ClassVar[bool] = True

    color_jitter: Annotated[float, Fraction] = 0.3
    radius: Annotated[float, AtLeast(0.1, MAX_RADIUS)] = 2.0

    def data(self, data: DataConfig) -> DataConfig:
        """Set the policy."""
        policy = ThreeAugmentPolicy(color_jitter=self.color_jitter, radius=self.radius)
        return set_policy(data, policy, self.name)
