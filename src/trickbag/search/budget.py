"""The time that a search may take, and the number of trials that fit into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Budget", "trials_within"]


def trials_within(seconds: float, trial_s: float, workers: int) -> int:
    """Return how many trials of `trial_s` seconds fit, `workers` at a time."""
    return int(seconds / max(trial_s, 1e-9)) * workers


@dataclass
class Budget:
    """The clock of a search.

    `limit_s` is the time that it may take, in seconds, None for any; `before_s` is what earlier
    calls have taken; `now` is the clock, in seconds. It starts when the budget is made.
    """

    limit_s: float | None
    before_s: float = 0.0
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._started = self.now()

    @property
    def spent_s(self) -> float:
        """The seconds that the search has taken, in all calls."""
        return self.before_s + self.now() - self._started

    @property
    def left_s(self) -> float:
        """The seconds that are left; infinite without a limit."""
        return float("inf") if self.limit_s is None else max(0.0, self.limit_s - self.spent_s)
