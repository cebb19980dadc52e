"""Vertical flips and quarter turns of training images, which boxes and masks follow.

Shapes: H and W pixels of an image. Objects (M, 6) are as in `box_transforms`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trickbag.data.size import as_size, height_width
from trickbag.streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.size import Size

__all__ = ["UPRIGHT", "Orientation", "draw_orientation"]


class Orientation(NamedTuple):
    """How an image lies: flipped top to bottom, then turned counterclockwise by quarter turns."""

    flipped: bool = False
    turns: int = 0

    def of(self, array: NDArray[Any], axes: tuple[int, int] = (0, 1)) -> NDArray[Any]:
        """Return an image or a mask as it lies; `axes` are those of H and W."""
        if self == UPRIGHT:
            return array
        if self.flipped:
            array = np.flip(array, axes[0])
        # What follows makes tensors of it, which have no negative strides.
        return np.ascontiguousarray(np.rot90(array, self.turns, axes))

    def of_objects(
        self, objects_M6: NDArray[np.float64], height: int, width: int
    ) -> NDArray[np.float64]:
        """Return the objects of an image as they lie; height and width are those before."""
        objects = objects_M6.copy()
        if self.flipped:
            objects[:, [2, 4]] = height - objects[:, [4, 2]]
        for _ in range(self.turns):
            # A pixel at x, y comes to y, width - x: the right edge becomes the top.
            objects[:, 1:5] = np.column_stack(
                [objects[:, 2], width - objects[:, 3], objects[:, 4], width - objects[:, 1]]
            )
            height, width = width, height
        return objects

    def size_before(self, size: Size) -> Size:
        """Return the size that an image has before it is turned, if it then has `size`."""
        height, width = height_width(size)
        return as_size(width, height) if self.turns % 2 else size


UPRIGHT = Orientation()


def draw_orientation(
    data: DataConfig, seed: int, epoch: int, row: int, suffix: str = ""
) -> Orientation:
    """Draw how a training image lies, by `data.vertical_flip_prob` and `data.quarter_turns`.

    It is a function of seed, epoch and row; `suffix` tells apart the copies of an image.
    """
    if not data.vertical_flip_prob and not data.quarter_turns:
        return UPRIGHT
    chance, turns = stream(seed, f"orientation{suffix}", epoch, row).random(2).tolist()
    return Orientation(
        chance < data.vertical_flip_prob, int(4 * turns) if data.quarter_turns else 0
    )
