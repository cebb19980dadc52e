"""Repeated augmentation: a batch has several crops of each of its images.

The mathematics is `repeated_order` in `data/loading/sampling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.policies.policies import MAX_COUNT
from trickbag.errors import DoesNotApply
from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["RepeatedAugmentation"]


@dataclass(frozen=True, kw_only=True)
class RepeatedAugmentation(Trick):
    """Show each image of an epoch several `times`, each time with a crop and changes of its own.

    An epoch has as many samples as before, of one image in `times`; which these are is drawn anew
    in each epoch. The copies of an image are in one batch.
    """

    name: ClassVar[str] = "repeated_augmentation"
    paper: ClassVar[str] = (
        "Hoffer et al. 2019, arXiv 1901.09335; Berman et al. 2019, arXiv 1902.05509"
    )

    times: Annotated[int, Between(2, MAX_COUNT)] = 3

    def data(self, data: DataConfig) -> DataConfig:
        """Set how often an epoch has each of its images."""
        if data.augmentation_repeats == self.times:
            raise NoEffect(f"data.augmentation_repeats is already {self.times}")
        if data.streaming:
            raise DoesNotApply(
                f"{self.name} needs images several times, and with data.streaming each comes once",
                f"take one out: --without {self.name} or --set data.streaming=false",
            )
        return replace(data, augmentation_repeats=self.times)
