"""What a recipe that probes a frozen network may have, and notes on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import size_text
from trickbag.errors import Note, UserError
from trickbag.models.summary import display_name
from trickbag.models.task_config import ClassificationConfig
from trickbag.optim.config import TrainConfig

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.train.plan.plan import Plan

__all__ = ["probe_notes", "require_probe", "with_new_head"]

_OF_TRAINING = (
    "freeze",
    "head_epochs",
    "fit_head",
    "batch_norm",
    "sync_batch_norm",
    "gradient_checkpointing",
)
"""Settings that a probe refuses, by their defaults; others of training steps are not looked at."""


def require_probe(recipe: Recipe, processes: int) -> None:
    """Raise UserError for a recipe with a probe and what a probe cannot have."""
    if recipe.training.probe is None:
        return
    if recipe.task != ClassificationConfig():
        raise UserError(
            f"training.probe fits a classifier of whole images, and the task is {recipe.task.kind}",
            "--set training.probe=none to train",
        )
    if recipe.tricks:
        raise UserError(
            f"training.probe fits a classifier on a frozen network, and the recipe has the tricks "
            f"{', '.join(recipe.trick_names)}, which change training",
            "take them out with --without, or --set training.probe=none to train",
        )
    training = recipe.training
    # What these change beside the steps would change the features, or the classifier.
    others = {name: getattr(training, name) for name in _OF_TRAINING}
    changed = [name for name, value in others.items() if value != getattr(TrainConfig, name)]
    if changed:
        raise UserError(
            f"training.{changed[0]} = {others[changed[0]]} is of training, and with training.probe "
            "nothing but the classifier changes",
            "leave it out, or --set training.probe=none to train",
        )
    if processes > 1:
        raise UserError(
            f"training.probe is computed by one process, not by {processes}",
            "start it without torchrun",
        )


def with_new_head(training: TrainConfig) -> TrainConfig:
    """Return the optimisation of a probe whose classifier takes no rows of weights."""
    if training.probe is None or not (training.init or training.pretrained):
        return training
    return replace(training, init_head="new")


def probe_notes(plan: Plan) -> list[Note]:
    """Say of which network and of which images the features of a probe are."""
    training = plan.training
    if training.probe is None:
        return []
    seen = Preprocessing.for_evaluation(plan.data, plan.image_size)
    notes = [
        Note(
            "choice",
            None,
            f"the classifier alone is fitted, on features of {display_name(plan.model)} that are "
            f"computed once of images of {size_text(seen.image_size)} px, in "
            f"{training.eval_precision}: settings of training steps have no effect",
        )
    ]
    if not (training.init or training.pretrained):
        reason = (
            "no weights are given (--init, --pretrained): the features are those of a network with "
            "random initial values"
        )
        notes.append(Note("weights", None, reason))
    return notes
