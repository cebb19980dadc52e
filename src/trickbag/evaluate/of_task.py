"""What can be done with a trained network of which task: the one place that refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.metric import TaskKind

__all__ = ["require_task"]

_TASKS: Mapping[str, tuple[TaskKind, ...]] = {
    "--speed": ("classification", "detection", "segmentation"),
    "--least": ("detection",),
    "--json": ("detection", "segmentation"),
    "--pictures": ("detection", "segmentation"),
    "--masks": ("segmentation",),
}
"""The tasks of what is not, or not only, for classification; all else is for that alone.

What every network has, such as --data, is not asked for here.
"""


def require_task(trained: Trained, option: str, way_out: str = "leave it out") -> None:
    """Raise UserError unless an option is for the task of a network.

    `option` may have a value behind it, as `--tta flip`, or be a few words.
    """
    tasks = _TASKS.get(option.partition(" ")[0], ("classification",))
    kind = trained.task.kind
    if kind not in tasks:
        raise UserError(
            f"{option} is of {' and '.join(tasks)}, and {trained.path} of {kind}", way_out
        )
