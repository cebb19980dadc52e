"""Which arguments of a command are trained networks, and which are images; no file is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.evaluate.blend_file import is_blend
from trickbag.models.config import model_names
from trickbag.models.weights_names import (
    BEST_WEIGHTS,
    folder_of_run,
    names_last_weights,
)
from trickbag.paths import exists, is_file, is_folder
from trickbag.train.folder.fold_runs import is_cross_validation

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["is_network", "is_run", "split_runs"]

_RECIPE = "recipe.json"


def is_network(name: Path | str) -> bool:
    """Tell whether a name is that of a network: `timm:NAME`, or one of this package's.

    A file or folder of that name comes first.
    """
    text = str(name)
    named = (text.startswith("timm:") and len(text) > len("timm:")) or text in model_names()
    return named and not exists(Path(text))


def is_run(text: str) -> bool:
    """Tell whether an argument is a trained network.

    It is a folder with `recipe.json` or kept weights, such a folder's `RUN:last`, the folder of a
    cross-validation, the file of a blend, a `.safetensors` file, or the name of a network
    (`is_network`).
    """
    path = Path(text)
    if is_network(text):
        return True
    if names_last_weights(path) or is_folder(path):
        folder = folder_of_run(path)
        if is_cross_validation(folder):
            return True
        return exists(folder / _RECIPE) or exists(folder / BEST_WEIGHTS)
    return is_file(path) and (path.suffix == ".safetensors" or is_blend(path))


def split_runs(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into runs and images: `RUN... PATH...`.

    The first is a run, whatever it is; runs are all that follow, up to the first that is none. A
    folder that holds both a run and images is a run there, but as the last of the arguments it is
    images. Raises UserError if there are no images.
    """
    runs = [*arguments[:1]]
    for text in arguments[1:]:
        if not is_run(text):
            break
        runs.append(text)
    paths = list(arguments[len(runs) :])
    if not paths and len(runs) > 1 and is_folder(Path(runs[-1])):
        paths = [runs.pop()]
    if not paths:
        last = f": {runs[-1]} is a trained network too" if len(runs) > 1 else ""
        raise UserError(
            f"there are no images to predict{last}",
            "give images, folders, globs or a CSV file behind RUN",
        )
    return runs, paths
