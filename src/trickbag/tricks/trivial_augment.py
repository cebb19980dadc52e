"""TrivialAugment: one random operation on each image, with a random magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.policies.magnitudes import Interpolation
from trickbag.data.policies.policies import MAX_BINS, RandomPolicy
from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Trick, set_policy

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["TrivialAugment"]


@dataclass(frozen=True, kw_only=True)
class TrivialAugment(Trick):
    """Apply one random operation to each image, with one of `bins` random magnitudes.

    The operations and the ranges of their magnitudes are those of the paper's "wide" variant.
    """

    name: ClassVar[str] = "trivial_augment"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Müller and Hutter 2021, arXiv 2103.10158"
    needs_rgb: ClassVar[bool] = True

    bins: Annotated[int, AtLeast(2, MAX_BINS)] = 31
    fill: Annotated[int, Between(0, 255)] = 0
    interpolation: Interpolation = "nearest"

    def data(self, data: DataConfig) -> DataConfig:
        """Set the policy."""
        policy = RandomPolicy(
            count=1,
            magnitude=None,
            bins=self.bins,
            ranges="wide",
            fill=self.fill,
            interpolation=self.interpolation,
        )
        return set_policy(data, policy, self.name)
