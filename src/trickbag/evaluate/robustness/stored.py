"""Evaluation on corrupted images that lie in a folder, in the form of ImageNet-C.

Shapes: C channels, H and W pixels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.loading.position import CENTRE, Position
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import height_width
from trickbag.data.source import DecodeError
from trickbag.errors import Note
from trickbag.evaluate.robustness.counts import CorruptionCounts, PictureOf, Progress, pixels_of
from trickbag.evaluate.robustness.crops import Crops
from trickbag.evaluate.robustness.tally import ErrorTally, predicted_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from trickbag.data.source import DataError
    from trickbag.evaluate.robustness.folder import Cell, CorruptedFolder
    from trickbag.evaluate.trained import Trained

__all__ = ["SizedPreprocessing", "count_stored"]


@dataclass(frozen=True, kw_only=True)
class SizedPreprocessing(Preprocessing):
    """A preprocessing that takes images of the network's input size as they are.

    ImageNet-C's images are crops already: scaled again, they would be blurred.
    """

    @classmethod
    def like(cls, other: Preprocessing) -> SizedPreprocessing:
        """Return such a preprocessing that is otherwise as another."""
        names = [field.name for field in dataclasses.fields(other)]
        return cls(**{name: getattr(other, name) for name in names})

    def crop(self, image_HWC: NDArray[np.uint8], at: Position = CENTRE) -> NDArray[np.uint8]:
        """Return an image of `image_size` as it is, any other as in validation; (C, H, W)."""
        if image_HWC.shape[:2] != height_width(self.image_size):
            return super().crop(image_HWC, at)
        return np.ascontiguousarray(image_HWC.transpose(2, 0, 1))


def count_stored(
    trained: Trained,
    folder: CorruptedFolder,
    cells: Sequence[Cell],
    reading: Mapping[str, Any],
    *,
    picture_of: PictureOf | None = None,
    progress: Progress | None = None,
) -> CorruptionCounts:
    """Count what a network gets wrong of the corrupted images of a folder.

    `reading` are further arguments of `Crops`. Raises UserError if a class of the folder is none of
    the network's, RunFailed as `Crops`.
    """
    counts = CorruptionCounts(data=str(folder.root), part="corrupted")
    preprocessing = SizedPreprocessing.like(trained.preprocessing)
    left_out: list[DataError] = []
    others: list[tuple[Cell, tuple[int, int]]] = []
    done = 0
    for number, cell in enumerate(cells):
        path = str(folder.cells[cell])
        crops = Crops(trained, data=path, preprocessing=preprocessing, **reading)
        counts.cells[cell] = ErrorTally()
        total = done + len(crops) * (len(cells) - number)
        with crops:
            for batch in crops.batches():
                if picture_of is not None and not counts.cells[cell].images:
                    picture_of(cell, pixels_of(batch.images[0]))
                    name = crops.selection.part.names[int(batch.index[0])]
                    counts.picture = counts.picture or name
                counts.cells[cell].add(predicted_classes(trained, batch.images), batch.labels)
                done += len(batch.labels)
                if progress is not None:
                    progress(done, total)
        left_out += crops.left_out
        shape = _shape_of_first(crops)
        if shape not in (None, height_width(preprocessing.image_size)):
            others.append((cell, shape))
        # The folders are alike, and so are their notes; numbers of images that differ are noted.
        counts.notes = counts.notes or crops.selection.notes
    counts.notes += (*_shape_notes(others, trained), *_count_notes(counts, left_out))
    return counts


def _shape_of_first(crops: Crops) -> tuple[int, int] | None:
    """Return height and width of the first image of a folder; None if it cannot be read."""
    try:
        height, width = crops.part.read(0).shape[:2]
    except DecodeError:
        return None
    return height, width


def _shape_notes(others: Sequence[tuple[Cell, tuple[int, int]]], trained: Trained) -> list[Note]:
    if not others:
        return []
    (name, severity), (height, width) = others[0]
    rows, columns = height_width(trained.preprocessing.image_size)
    reason = (
        f"images of {len(others)} corrupted folders, such as {name}/{severity}, have other sizes "
        f"({width}x{height} px) than the network's input ({columns}x{rows} px): they are scaled "
        "and cropped as in validation, which published evaluations do not"
    )
    return [Note("choice", None, reason)]


def _count_notes(counts: CorruptionCounts, left_out: Sequence[DataError]) -> list[Note]:
    notes = []
    numbers = {tally.images for tally in counts.cells.values()}
    if len(numbers) > 1:
        reason = f"the corrupted folders hold different numbers of images: {min(numbers):,} to "
        notes.append(Note("data", None, f"{reason}{max(numbers):,}"))
    if left_out:
        reason = f"{len(left_out):,} corrupted files left out, such as {left_out[0].file}"
        notes.append(Note("data", None, f"{reason} ({left_out[0].reason})"))
    return notes
