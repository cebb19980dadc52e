"""Step decay: the learning rate drops at given fractions of the run.

The mathematics is `Stepwise` in `optim/schedule.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.errors import UserError
from trickbag.optim import schedule as schedules
from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.schedule import Schedule

__all__ = ["StepDecay"]

OpenFraction = Annotated[float, Between(0, 1, open_low=True, open_high=True)]


@dataclass(frozen=True, kw_only=True)
class StepDecay(Trick):
    """Multiply the learning rate by `factor` at each fraction of the run in `at`.

    The defaults divide it by 10 at epochs 30, 60 and 90 of 120.
    """

    name: ClassVar[str] = "step_decay"
    slot: ClassVar[str] = "decay"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 2.1"

    factor: OpenFraction = 0.1
    at: tuple[OpenFraction, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.at:
            raise UserError(
                "step_decay.at is empty", "name at least one fraction of the run, such as 0.5"
            )

    def schedule(self, schedule: Schedule) -> Schedule:
        """Set the decay of the schedule."""
        decay = schedules.Stepwise(factor=self.factor, at=self.at)
        if schedule.decay == decay:
            raise NoEffect("the schedule already has these steps")
        return replace(schedule, decay=decay)
