"""Polynomial decay: the learning rate falls to zero along a power of what is left of the run.

The mathematics is `Polynomial` in `optim/schedule.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.optim import schedule as schedules
from trickbag.ranges import Above
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.schedule import Schedule

__all__ = ["PolyDecay"]


@dataclass(frozen=True, kw_only=True)
class PolyDecay(Trick):
    """Decay the learning rate by `(1 - t / T) ** power`, from its value after warm-up to zero."""

    name: ClassVar[str] = "poly_decay"
    slot: ClassVar[str] = "decay"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 6.2, as its code; Chen et al. 2016, arXiv "
        "1606.00915, section 4.1"
    )

    power: Annotated[float, Above(0, 100)] = 0.9

    def schedule(self, schedule: Schedule) -> Schedule:
        """Set the decay of the schedule."""
        decay = schedules.Polynomial(power=self.power)
        if schedule.decay == decay:
            raise NoEffect("the schedule already decays so")
        return replace(schedule, decay=decay)
