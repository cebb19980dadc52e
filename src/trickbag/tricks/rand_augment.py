"""RandAugment: a few random operations on each image, all of the same magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.policies.magnitudes import Interpolation
from trickbag.data.policies.policies import MAX_BINS, MAX_COUNT, RandomPolicy
from trickbag.errors import UserError
from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Trick, set_policy

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["RandAugment"]


@dataclass(frozen=True, kw_only=True)
class RandAugment(Trick):
    """Apply `operations` random operations to each image, all of the same magnitude.

    `magnitude` counts from 0 to `bins` - 1.
    """

    name: ClassVar[str] = "rand_augment"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Cubuk et al. 2020, arXiv 1909.13719"
    needs_rgb: ClassVar[bool] = True

    operations: Annotated[int, Between(1, MAX_COUNT)] = 2
    magnitude: Annotated[int, AtLeast(0, MAX_BINS)] = 9
    bins: Annotated[int, AtLeast(2, MAX_BINS)] = 31
    fill: Annotated[int, Between(0, 255)] = 0
    interpolation: Interpolation = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.magnitude >= self.bins:
            raise UserError(
                f"rand_augment.magnitude = {self.magnitude}: with bins = {self.bins} it goes "
                f"from 0 to {self.bins - 1}"
            )

    def data(self, data: DataConfig) -> DataConfig:
        """Set the policy."""
        policy = RandomPolicy(
            count=self.operations,
            magnitude=self.magnitude,
            bins=self.bins,
            fill=self.fill,
            interpolation=self.interpolation,
        )
        return set_policy(data, policy, self.name)
