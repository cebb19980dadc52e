"""RandAugment: a few random operations on each image, all of the same magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

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

    `magnitude` counts from 0 to `bins` - 1. `version="timm"` has the operations and magnitudes of
    timm's `inc1`, all of which become stronger with the magnitude; timm has 11 bins. An operation
    is done with the probability `prob`. Its magnitude is normal around `magnitude` with the
    standard deviation `magnitude_std`.
    """

    name: ClassVar[str] = "rand_augment"
    slot: ClassVar[str] = "policy"
    paper: ClassVar[str] = "Cubuk et al. 2020, arXiv 1909.13719"
    needs_rgb: ClassVar[bool] = True
    introduced_later: ClassVar[tuple[str, ...]] = ("magnitude_std", "prob", "version")

    operations: Annotated[int, Between(1, MAX_COUNT)] = 2
    magnitude: Annotated[int, AtLeast(0, MAX_BINS)] = 9
    bins: Annotated[int, AtLeast(2, MAX_BINS)] = 31
    fill: Annotated[int, Between(0, 255)] = 0
    interpolation: Interpolation = "nearest"
    version: Literal["torchvision", "timm"] = "torchvision"
    prob: Annotated[float, Between(0, 1, open_low=True)] = 1.0
    magnitude_std: Annotated[float, AtLeast(0, MAX_BINS)] = 0.0

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
            ranges="increasing" if self.version == "timm" else "standard",
            prob=self.prob,
            magnitude_std=self.magnitude_std,
            fill=self.fill,
            interpolation=self.interpolation,
        )
        return set_policy(data, policy, self.name)
