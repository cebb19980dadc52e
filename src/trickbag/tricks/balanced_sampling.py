"""Class-balanced sampling: rare classes are seen more often; the mathematics is
`data.sampling.balanced_order`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.settings import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["BalancedSampling"]


@dataclass(frozen=True, kw_only=True)
class BalancedSampling(Trick):
    """Show each class in proportion to its number of images to a `power`: 0 equally often, 0.5 by the square root.

    An epoch has as many steps as without. Images of rare classes are read several times, each time
    cropped anew.
    """

    name: ClassVar[str] = "balanced_sampling"
    paper: ClassVar[str] = "Kang et al. 2019, arXiv 1910.09217, section 3"

    power: Annotated[float, Between(0, 1, open_high=True)] = 0.0

    def data(self, data: DataConfig) -> DataConfig:
        """Set the share of each class in an epoch."""
        if data.class_power == self.power:
            raise NoEffect(f"data.class_power is already {self.power:g}")
        return replace(data, class_power=self.power)
