"""Cosine decay: the learning rate falls to zero along half a cosine.

The mathematics is `Cosine` in `optim/schedule.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from trickbag.optim.schedule import Cosine
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.schedule import Schedule

__all__ = ["CosineDecay"]


@dataclass(frozen=True, kw_only=True)
class CosineDecay(Trick):
    """Decay the learning rate along half a cosine, from its full value after warm-up to zero."""

    name: ClassVar[str] = "cosine_decay"
    slot: ClassVar[str] = "decay"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.1; Loshchilov & Hutter 2016, arXiv 1608.03983"
    )

    def schedule(self, schedule: Schedule) -> Schedule:
        """Set the decay of the schedule."""
        decay = Cosine()
        if schedule.decay == decay:
            raise NoEffect("the schedule already decays along a cosine")
        return replace(schedule, decay=decay)
