"""Warm-up: the learning rate rises from near zero over the first epochs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.ranges import MAX_EPOCHS, Above
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.schedule import Schedule

__all__ = ["Warmup", "warm_up"]


def warm_up(
    schedule: Schedule, epochs: float = 5.0, by: Literal["step", "epoch"] = "step"
) -> Schedule:
    """Return the schedule with a learning rate that rises linearly over the first `epochs` epochs.

    By step, step i of the m steps of the warm-up, i from 1, has the rate `lr * i / m`. By epoch,
    every step of epoch i of m has it. Source: Goyal et al. 2017; He et al. 2018, section 3.1,
    "Learning rate warmup".
    """
    return replace(schedule, warmup_epochs=epochs, warmup=by)


@dataclass(frozen=True, kw_only=True)
class Warmup(Trick):
    """Raise the learning rate linearly over the first epochs, by step or by epoch."""

    name: ClassVar[str] = "warmup"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 3.1; Goyal et al. 2017, arXiv 1706.02677"
    )

    epochs: Annotated[float, Above(0, MAX_EPOCHS)] = 5.0
    by: Literal["step", "epoch"] = "step"

    def schedule(self, schedule: Schedule) -> Schedule:
        """Set the warm-up of the schedule."""
        warmed = warm_up(schedule, self.epochs, self.by)
        if warmed == schedule:
            raise NoEffect(
                f"the schedule already warms up over {self.epochs:g} epochs by {self.by}"
            )
        return warmed
