"""Cutout: set one square of each training image to zero.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.size import shorter_side
from trickbag.functional.boxes import around, fill
from trickbag.ranges import MAX_EPOCHS, AtLeast, Between
from trickbag.tricks.trick import START, Batch, Phase, Timestamp, Trick, require_epochs

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.data.config import DataConfig
    from trickbag.optim.config import TrainConfig

__all__ = ["Cutout", "around", "blank"]


def blank(images_NCHW: Tensor, boxes_N4: Tensor, *, owned: bool = False) -> Tensor:
    """Return the images with zeros inside the box of each.

    `boxes_N4` are integers: top, bottom, left and right, the ends excluded. With `owned` the images
    are changed in place.
    """
    return fill(images_NCHW, boxes_N4, images_NCHW.new_zeros(()), owned=owned)


@dataclass(frozen=True, kw_only=True)
class Cutout(Trick):
    """Set one square of each image to zero after normalisation, which is the mean colour.

    `side` is the side of the square as a fraction of the image's: the paper has 16 of 32 pixels
    (0.5) on CIFAR-10 and 8 (0.25) on CIFAR-100. The centre is anywhere in the image, so part of the
    square may lie outside. The last `off_epochs` epochs train on unchanged images.
    """

    name: ClassVar[str] = "cutout"
    phase: ClassVar[Phase] = "erase"
    paper: ClassVar[str] = "DeVries and Taylor 2017, arXiv 1708.04552, section 3"

    side: Annotated[float, Between(0, 1, open_low=True)] = 0.5
    off_epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)] = 0

    def training(self, training: TrainConfig) -> TrainConfig:
        """Return the training as it is; NoEffect without an epoch to cut squares out in."""
        return require_epochs(self.off_epochs, training)

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the centre (n, 2) of each square in [0, 1) and its sides (n, 2); float32.

        The sides are fractions of the image's.
        """
        import numpy as np

        # A side of 0 leaves an image unchanged; with the same shapes nothing is recompiled.
        side = 0.0 if timestamp.epochs_left <= self.off_epochs else self.side
        return rng.random((n, 2)).astype(np.float32), np.full((n, 2), side, np.float32)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Set the squares to zero."""
        (centre, sides), (height, width) = draw, batch.images.shape[2:]
        boxes = around(centre, sides, height, width)
        return batch._replace(images=blank(batch.images, boxes, owned=batch.owned))

    def works_at(self, data: DataConfig, timestamp: Timestamp) -> bool:
        """Tell whether the squares are there, and have a pixel: half a side is rounded down."""
        if data.image_size is not None and self.side * shorter_side(data.image_size) / 2 < 1:
            return False
        return timestamp.epochs_left > self.off_epochs
