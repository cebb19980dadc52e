"""Notes on the learning rate of a run: what of the schedule the run does not reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError
from trickbag.optim.schedule import Constant
from trickbag.train.plan.value_hooks import ValueHooks
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from trickbag.optim.schedule import Schedule
    from trickbag.train.plan.plan import Plan

__all__ = ["schedule_notes"]


def schedule_notes(plan: Plan, tricks: tuple[Trick, ...], schedule: Schedule) -> list[Note]:
    """Return a note on a warm-up that fills the run, and on each trick that changes no rate.

    `schedule` is the recipe's, before the tricks. A trick changes no rate where the learning rate
    of every step is the same without it, whatever the reason: the other settings of the schedule
    hide what it sets, or the run is too short for it.
    """
    notes = _warmup_notes(plan)
    for trick in tricks:
        # What averages weights works at any rate.
        if not trick.overrides("schedule") or trick.overrides("average"):
            continue
        others = tuple(other for other in tricks if other is not trick)
        try:
            without = ValueHooks(others).apply(Trick.schedule, schedule)
        except UserError:
            continue  # another trick needs this one
        if _same_rates(plan, without):
            notes.append(Note("no_effect", trick.name, _why_same(plan)))
    return notes


def _warmup_notes(plan: Plan) -> list[Note]:
    schedule, epochs = plan.schedule, plan.scheduled_epochs
    if not epochs or not _warmup_fills(plan):
        return []
    last = schedule.factor(_scheduled_steps(plan) - 1, plan.steps_per_epoch, epochs)
    length = _length(plan)
    if last < 1:
        reason = (
            f"{length} outlasts the run of {epochs}: the learning rate ends at {last:.4g} of its "
            "full value"
        )
    else:
        reason = f"{length} fills the run: the learning rate has its full value at the end alone"
    if schedule.decay != Constant():
        reason += f", and the {schedule.decay.kind} decay never starts"
    return [Note("schedule", None, reason)]


def _length(plan: Plan) -> str:
    epochs = plan.schedule.warmup_epochs
    return f"the warm-up of {epochs:g} epoch{'s' * (epochs != 1)}"


def _warmup_fills(plan: Plan) -> bool:
    """Tell whether no step comes after the warm-up."""
    return plan.schedule.warmup_steps(plan.steps_per_epoch) >= _scheduled_steps(plan)


def _scheduled_steps(plan: Plan) -> int:
    return plan.scheduled_epochs * plan.steps_per_epoch


def _same_rates(plan: Plan, other: Schedule) -> bool:
    """Tell whether the learning rate of every step is the same with another schedule."""
    if other == plan.schedule:
        return True
    per_epoch, epochs = plan.steps_per_epoch, plan.scheduled_epochs
    # The last step first: most schedules differ there, and a long run has many steps.
    return all(
        plan.schedule.factor(step, per_epoch, epochs) == other.factor(step, per_epoch, epochs)
        for step in reversed(range(_scheduled_steps(plan)))
    )


def _why_same(plan: Plan) -> str:
    if not plan.scheduled_epochs:
        return "the head alone is trained, at the full rate (training.head_epochs)"
    if _warmup_fills(plan):
        return f"{_length(plan)} fills the run"
    epochs, steps = plan.training.epochs, plan.steps
    return (
        f"in {epochs} epoch{'s' * (epochs != 1)} of {plan.steps_per_epoch} steps the learning rate "
        f"of {'every' if steps > 1 else 'the only'} step is the same without it"
    )
