"""Class-balanced sampling: the network sees images of rare classes more often.

The mathematics is `balanced_order` in `data/loading/sampling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["BalancedSampling"]


@dataclass(frozen=True, kw_only=True)
class BalancedSampling(Trick):
    """Sample each class in proportion to its number of images, raised to `power`.

    With a power of 0 all classes are equally frequent, with 0.5 their frequencies follow the square
    root of their sizes. The number of steps in an epoch stays. An image of a rare class is read
    several times in an epoch, each time with a new crop.
    """

    name: ClassVar[str] = "balanced_sampling"
    paper: ClassVar[str] = "Kang et al. 2019, arXiv 1910.09217, section 3"

    power: Annotated[float, Between(0, 1, open_high=True)] = 0.0

    def data(self, data: DataConfig) -> DataConfig:
        """Set the power by which the classes are sampled."""
        if data.class_power == self.power:
            raise NoEffect(f"data.class_power is already {self.power:g}")
        return replace(data, class_power=self.power)
