"""The scores of a run's images: the rows of `image_scores.npz`."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from trickbag.files import named_warnings, replacing
from trickbag.metrics.image_scores import ImageScores
from trickbag.paths import MAPPED, exists, open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset
    from trickbag.tasks.task import TaskValidation

__all__ = [
    "SCORED_BYTES",
    "ScoredPart",
    "read_image_scores",
    "write_image_scores",
]

SCORED_BYTES = 3 * 4
"""Bytes of an image's scores."""

ScoredPart = Literal["val", "test"]


def write_image_scores(
    file: Path, dataset: Dataset, kept: TaskValidation, tested: TaskValidation | None
) -> None:
    """Write the scores of the parts that were evaluated, as a whole or not at all.

    There is no file with several labels an image, and for other tasks than classification.
    """
    validations = {"val": (kept, dataset.val), "test": (tested, dataset.test)}
    arrays = {
        f"{name}_{metric}": values
        for name, (validation, part) in validations.items()
        if part is not None and (scores := _scores(validation, len(part))) is not None
        for metric, values in vars(scores).items()
    }
    if arrays:
        with replacing(file) as binary:
            np.savez(binary, **arrays)


def _scores(validation: TaskValidation | None, images: int) -> ImageScores | None:
    # It imports torch, which reading the file does not need.
    from trickbag.tasks.classification import Validation

    if not isinstance(validation, Validation) or validation.multi_label is not None:
        return None
    if validation.logits is None:
        return None
    scores = ImageScores.of(validation.logits, validation.labels)
    return scores.placed(validation.index, images)


def read_image_scores(file: Path, part: ScoredPart, metric: str) -> NDArray[np.float32] | None:
    """Read the scores of a part in a metric, one for each image in the order of the part.

    None where there are none: no file, or a damaged one, or another task. Raises UserError for what
    is no plain file.
    """
    name = f"{part}_{metric}"
    try:
        if not exists(file):
            return None
        with named_warnings(file), open_regular(file, MAPPED) as opened:
            arrays = np.load(opened, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile) or name not in arrays:
                return None
            values: NDArray[np.float32] = arrays[name]
    # What numpy and zipfile raise for files that are cut, changed, or no archive at all.
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        return None
    return values if values.dtype == np.float32 and values.ndim == 1 else None
