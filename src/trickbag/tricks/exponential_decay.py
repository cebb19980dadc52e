"""Exponential decay: the learning rate shrinks by a factor every few epochs.

The mathematics is `Exponential` in `optim/schedule.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.optim import schedule as schedules
from trickbag.ranges import MAX_EPOCHS, Above, Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.schedule import Schedule

__all__ = ["ExponentialDecay"]


@dataclass(frozen=True, kw_only=True)
class ExponentialDecay(Trick):
    """Multiply the learning rate by `factor` every `every_epochs` epochs.

    With `staircase` it drops at the end of each such period, else it falls smoothly.
    """

    name: ClassVar[str] = "exponential_decay"
    slot: ClassVar[str] = "decay"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.1; Szegedy et al. 2015, arXiv 1512.00567"
    )

    factor: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.94
    every_epochs: Annotated[float, Above(0, MAX_EPOCHS)] = 2.0
    staircase: bool = True

    def schedule(self, schedule: Schedule) -> Schedule:
        """Set the decay of the schedule."""
        decay = schedules.Exponential(
            factor=self.factor, every_epochs=self.every_epochs, staircase=self.staircase
        )
        if schedule.decay == decay:
            raise NoEffect("the schedule already decays so")
        return replace(schedule, decay=decay)
