"""Why a run ends before its last epoch: no better score, or no time for another epoch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from trickbag.durations import about
from trickbag.errors import Note
from trickbag.train.folder.score import is_better

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.train.checkpoint import Progress
    from trickbag.train.plan.plan import Plan

__all__ = ["Clock", "ending", "ending_note", "last_better"]


class Clock:
    """The time of a run: of its earlier parts, and of this one so far."""

    def __init__(self, earlier_s: float) -> None:
        self._earlier_s, self._started = earlier_s, time.monotonic()
        self._epoch_started: float | None = None

    @property
    def elapsed_s(self) -> float:
        """The seconds of all parts."""
        return self._earlier_s + time.monotonic() - self._started

    def begin_epoch(self) -> None:
        """Note that an epoch begins."""
        self._epoch_started = time.monotonic()

    def epoch_s(self, epochs: int) -> float:
        """Return how long the next epoch will take, after so many.

        That is the mean of those before, or the last one if that was longer.
        """
        last = 0.0 if self._epoch_started is None else time.monotonic() - self._epoch_started
        return max(last, self.elapsed_s / max(1, epochs))


def last_better(scores: Sequence[float | None], name: str) -> int:
    """Return the last epoch, from 1, with a better score by the metric `name` than all before it.

    0 if no score is defined. An equal score is not better, whatever the loss.
    """
    epoch, best = 0, None
    for number, score in enumerate(scores, 1):
        if score is not None and not is_better(name, (best, None), (score, None)):
            epoch, best = number, score
    return epoch


def ending(
    plan: Plan, progress: Progress, clock: Clock, rows: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return why a run ends before the epoch that it is at; None if it goes on.

    `rows` are the lines of the epochs before it. A run that was stopped after its last epoch ends
    again for the same reason: what decides is in its folder.
    """
    training = plan.training
    if training.patience is not None:
        best = last_better([row.get(plan.score) for row in rows], plan.score)
        if best and progress.epoch - max(best, training.head_epochs) >= training.patience:
            return (
                f"training.patience = {training.patience}: no epoch after epoch {best} had a "
                f"better {plan.score}"
            )
    limit_s = training.time_limit_s
    if limit_s is not None and progress.epoch:
        needed_s = clock.epoch_s(progress.epoch)
        if progress.elapsed_s + needed_s > limit_s:
            return (
                f"training.time_limit = {training.time_limit}: {about(progress.elapsed_s)} are "
                f"over, and an epoch takes about {about(needed_s)}"
            )
    return None


def ending_note(plan: Plan, progress: Progress, reason: str) -> Note:
    """Return the note on a run that ended early: when, why, and where its schedule was."""
    lr = plan.lr(progress.epoch * plan.steps_per_epoch - 1)
    return Note(
        "schedule",
        None,
        f"the run ended after {progress.epoch} of {plan.training.epochs} epochs, "
        f"{reason}; the schedule did not end: the learning rate was {lr:.4g} in the last step, of "
        f"{plan.training.lr:g}",
    )
