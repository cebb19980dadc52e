"""What a run trains of its network, and by which statistics it normalises: errors and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError
from trickbag.models.task_config import ClassificationConfig
from trickbag.optim.config import TrainConfig

if TYPE_CHECKING:
    from trickbag.train.plan.plan import Plan

__all__ = ["phase_notes"]


def phase_notes(plan: Plan) -> list[Note]:
    """Return notes on what a plan freezes, with the number of parameters that are trained.

    Raises UserError where parts or statistics are frozen, or a classifier is fitted, and no weights
    are loaded: values that were drawn would stay as they are; and for a network that lacks the
    stages.
    """
    training = plan.training
    settings = {
        f"training.freeze = {training.freeze}": training.freeze != "none",
        f"training.head_epochs = {training.head_epochs}": training.head_epochs > 0,
        f"training.unfreeze = {training.unfreeze}": training.unfreeze == "gradual",
        f"training.batch_norm = {training.batch_norm}": training.batch_norm == "frozen",
        f"training.fit_head = {training.fit_head}": training.fit_head,
    }
    chosen = [text for text, is_chosen in settings.items() if is_chosen]
    if chosen and not (training.init or training.pretrained):
        raise UserError(
            f"{' and '.join(chosen)}: no weights are loaded, which this is for",
            f"give weights (--init FILE or --pretrained), or {_without(training)}",
        )
    if not chosen and training.batch_norm == "update":
        return []
    return [*_trained_notes(plan), *_norm_notes(plan)]


def _without(training: TrainConfig) -> str:
    """Return the options that train all of a network from the beginning."""
    names = ("freeze", "head_epochs", "unfreeze", "batch_norm", "fit_head")
    # Their defaults train everything.
    defaults = TrainConfig()
    changed = [name for name in names if getattr(training, name) != getattr(defaults, name)]
    values = {name: str(getattr(defaults, name)).lower() for name in changed}
    return " ".join(f"--set training.{name}={value}" for name, value in values.items())


def _note(reason: str) -> Note:
    return Note("choice", None, reason)


def _trained_notes(plan: Plan) -> list[Note]:
    from trickbag.models.stages import frozen_groups, stage_groups
    from trickbag.models.zoo import build_on_shapes
    from trickbag.train.phases import has_phases

    training = plan.training
    # The network of another task is not built for its notes.
    if not has_phases(training) or plan.task != ClassificationConfig():
        return []
    network = build_on_shapes(plan.model)
    groups = stage_groups(network)
    counts = [sum(p.numel() for p in group) for group in groups]
    total, frozen = sum(counts), frozen_groups(network, training.freeze)
    notes = []
    if training.freeze != "none":
        trained = f"{sum(counts[frozen:]):,} of {total:,} parameters are trained"
        notes.append(_note(f"training.freeze={training.freeze}: {trained}"))
    if frozen == len(groups) - 1:
        hidden = {"head_epochs": training.head_epochs > 0, "unfreeze": training.unfreeze != "all"}
        notes += [
            _note(f"training.{name} changes nothing but the schedule: only the head is trained")
            for name, is_chosen in hidden.items()
            if is_chosen
        ]
    elif plan.scheduled_epochs == 0:
        epochs = f"{training.epochs} epoch{'s' * (training.epochs != 1)}"
        notes.append(_note(f"only the head is trained: training.head_epochs fills the {epochs}"))
    elif training.head_epochs:
        epochs = f"{training.head_epochs} epoch{'s' * (training.head_epochs != 1)}"
        trained = f"{counts[-1]:,} of {total:,} parameters"
        notes.append(_note(f"in the first {epochs} the head alone is trained, {trained}"))
    if training.unfreeze == "gradual" and frozen < len(groups) - 1:
        notes += _gradual_notes(plan, len(groups), frozen)
    return notes


def _gradual_notes(plan: Plan, groups: int, frozen: int) -> list[Note]:
    from trickbag.train.phases import first_trained

    first = first_trained(plan.training, plan.training.epochs - 1, groups, frozen)
    if first == frozen:
        return []
    number = f"{first - frozen} of {groups - frozen} groups"
    return [_note(f"training.unfreeze=gradual: the run is too short to train {number}")]


def _norm_notes(plan: Plan) -> list[Note]:
    """Return a note where the policy of batch normalisation changes nothing."""
    from trickbag.models.stages import running_norms
    from trickbag.models.zoo import build_on_shapes

    policy = plan.training.batch_norm
    if policy == "update" or running_norms(build_on_shapes(plan.model)):
        return []
    reason = f"training.batch_norm={policy} changes nothing: no normalisation keeps statistics"
    return [_note(reason)]
