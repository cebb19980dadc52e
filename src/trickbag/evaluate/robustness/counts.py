"""Counts of the images that a network gets wrong, for each corruption and severity.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import Note
from trickbag.evaluate.robustness.crops import CropBatch, Crops
from trickbag.evaluate.robustness.folder import Cell
from trickbag.evaluate.robustness.tally import ErrorTally, predicted_classes
from trickbag.functional.device import copied

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = [
    "CLEAN",
    "CorruptionCounts",
    "PictureOf",
    "Progress",
    "count_generated",
    "pixels_of",
]

CLEAN = Cell("clean", 0)
"""What stands for the images without a corruption."""

PictureOf = Callable[[Cell, "NDArray[np.uint8]"], None]
"""Takes the pixels (H, W, C) of one image for each corruption and severity."""

Progress = Callable[[int, int], None]
"""Takes how many images are done, and of how many; an image counts once for each corruption."""


@dataclass(kw_only=True)
class CorruptionCounts:
    """The counts of an evaluation, `cells` by corruption and severity, and what they are of.

    `picture` is the name of the image of which pictures were taken. `is_paired`: all counts are of
    the same images, in the same order.
    """

    data: str
    part: str
    clean: ErrorTally = field(default_factory=ErrorTally)
    cells: dict[Cell, ErrorTally] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    picture: str = ""
    is_paired: bool = False

    def errors(
        self, names: Sequence[str], severities: Sequence[int]
    ) -> dict[str, list[float | None]]:
        """Return the errors in percent of each corruption by severity; None where not counted."""
        empty = ErrorTally()
        return {n: [self.cells.get(Cell(n, s), empty).error for s in severities] for n in names}

    def images(self, names: Sequence[str], severities: Sequence[int]) -> dict[str, list[int]]:
        """Return the number of images of each corruption by severity."""
        empty = ErrorTally()
        return {n: [self.cells.get(Cell(n, s), empty).images for s in severities] for n in names}


def count_generated(
    crops: Crops,
    cells: Sequence[Cell],
    corrupt: Callable[[CropBatch, Cell], Tensor],
    *,
    picture_of: PictureOf | None = None,
    progress: Progress | None = None,
) -> CorruptionCounts:
    """Corrupt the crops of a network's images in memory, and count what it gets wrong.

    Each image is read once and corrupted once for each of the `cells`; a batch at a time is in
    memory.
    """
    trained, selection = crops.trained, crops.selection
    counts = CorruptionCounts(data=selection.data.source, part=selection.name)
    counts.cells = {cell: ErrorTally() for cell in cells}
    counts.is_paired = True
    done, total = 0, len(crops) * (len(cells) + 1)
    with crops:
        for batch in crops.batches():
            batch = batch._replace(images=copied(batch.images, trained.device))
            first = picture_of if not done else None
            for cell in (CLEAN, *cells):
                images = batch.images if cell == CLEAN else corrupt(batch, cell)
                tally = counts.clean if cell == CLEAN else counts.cells[cell]
                tally.add(predicted_classes(trained, images), batch.labels)
                if first is not None:
                    first(cell, pixels_of(images[0]))
                    counts.picture = selection.part.names[int(batch.index[0])]
                done += len(batch.labels)
                if progress is not None:
                    progress(done, total)
    counts.notes = crops.notes
    return counts


def pixels_of(image_CHW: Tensor) -> NDArray[np.uint8]:
    """Return an image (C, H, W) as a picture (H, W, C)."""
    pixels: NDArray[np.uint8] = image_CHW.permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels)
