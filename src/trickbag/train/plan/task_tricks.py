"""Which tricks apply to the task of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import DoesNotApply, UserError
from trickbag.models.task_config import ClassificationConfig

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig
    from trickbag.models.task_config import TaskConfig
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = ["require_backbone", "require_task", "task_reason"]


def task_reason(trick: Trick, task: TaskConfig) -> str | None:
    """Return why a trick does not apply to a task; None if it does."""
    if isinstance(task, ClassificationConfig) or not trick.needs_classes():
        return None
    return (
        f"{trick.name} works on labels, crops or the classifier of whole images, and {task.kind} "
        f"learns from {task.annotations}"
    )


def require_task(recipe: Recipe) -> None:
    """Raise DoesNotApply for a trick, or UserError for a setting, of another task.

    Each setting that is refused would change nothing, or leave boxes and masks where they were.
    """
    task, data = recipe.task, recipe.data
    if isinstance(task, ClassificationConfig):
        return
    for trick in recipe.tricks:
        if reason := task_reason(trick, task):
            raise DoesNotApply(reason, f"Take it out: --without {trick.name}")
    given = {
        "data.policy": data.policy is not None,
        "data.repeat_epochs": data.repeat_epochs is not None,
        "data.class_power": data.class_power != 1,
        "data.augmentation_repeats": data.augmentation_repeats != 1,
        "data.multi_label": data.multi_label,
        "data.val_source": data.val_source is not None,
        "training.compile = on": recipe.training.compile == "on",
    }
    for name, is_given in given.items():
        if is_given:
            raise UserError(f"{name} is of classification, not of {task.kind}", "leave it out")


def require_backbone(model: ModelConfig, task: TaskConfig) -> None:
    """Raise UserError for a network without the maps that a detector or a segmenter takes.

    Before the network is fitted to the size of the images: of a vision transformer another size
    would be asked for first, which would not help.
    """
    if isinstance(task, ClassificationConfig):
        return
    from trickbag.models.features import pyramid_levels
    from trickbag.models.summary import display_name
    from trickbag.models.zoo import build_on_shapes

    try:
        pyramid_levels(build_on_shapes(model))
    except UserError as error:
        raise UserError(f"{display_name(model)}: {error.reason}", error.way_out) from error
