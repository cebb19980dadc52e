"""Notes on a run that can end before its last epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note

if TYPE_CHECKING:
    from trickbag.train.plan.plan import Plan

__all__ = ["ending_notes"]


def ending_notes(plan: Plan) -> list[Note]:
    """Return notes on a patience that cannot end the run, or that keeps weights past the best."""
    training, reasons = plan.training, []
    patience = training.patience
    if patience is not None and patience >= training.epochs - max(1, training.head_epochs):
        reasons.append(
            f"training.patience = {patience} cannot end this run, whose {training.epochs} epochs "
            "are over before"
        )
    elif patience is not None and training.keep == "last":
        reasons.append(
            f"training.patience = {patience} ends the run so many epochs after its best one, and "
            "training.keep = last keeps the weights of the last one"
        )
    return [Note("choice", None, reason) for reason in reasons]
