"""The names of the weights in a run's folder, on disk and where a user names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.paths import exists, is_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BEST_WEIGHTS", "LAST_WEIGHTS", "folder_of_run", "names_last_weights"]

BEST_WEIGHTS = "best.safetensors"
"""The weights that a run keeps: those of the best epoch, or of the last."""

LAST_WEIGHTS = "last.safetensors"
"""The last epoch's weights, if a run keeps those of another epoch."""

_LAST = ":last"
"""What stands behind a run's folder where its last epoch's weights are meant."""


def names_last_weights(path: Path) -> bool:
    """Tell whether a path is `RUN:last`, the last epoch's weights of a run's folder."""
    # A folder whose own name ends so comes first.
    return path.name.endswith(_LAST) and not exists(path)


def folder_of_run(path: Path) -> Path:
    """Return the run's folder that a path means: itself, RUN of `RUN:last`, or a file's folder."""
    if names_last_weights(path):
        return path.with_name(path.name.removesuffix(_LAST))
    return path if is_folder(path) else path.parent
