"""Progressive resizing: training starts with small images, which grow over the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.data.size import as_size, height_width
from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.tricks.trick import Timestamp

__all__ = ["ProgressiveResizing", "size_at"]

# The smallest image that this package's networks and its data settings take.
_MIN_SIZE = 8


def size_at(
    progress: float, image_size: int, start: float = 0.5, stages: int = 4, multiple: int = 8
) -> int:
    """Return the side of the images in pixels at `progress` in [0, 1] of the run.

    The run has `stages` stages of equal length, at least 1. The size rises linearly from `start
    image_size` in the first stage to `image_size` in the last. All sizes but the last are rounded
    to a multiple of `multiple`, and are at least 8 px and at most `image_size`. Source: Tan & Le
    2021 (arXiv 2104.00298), algorithm 1.
    """
    # An epoch at a boundary begins the next stage, even where the product rounds to just below it.
    stage = min(stages - 1, int(progress * stages + 1e-9))
    if stage == stages - 1:
        return image_size
    size = image_size * (start + (1 - start) * stage / (stages - 1))
    return min(image_size, max(_MIN_SIZE, max(1, round(size / multiple)) * multiple))


@dataclass(frozen=True, kw_only=True)
class ProgressiveResizing(Trick):
    """Train on small images first, which grow from `start` of the size in `stages` equal stages.

    Sizes are multiples of `multiple` pixels, height and width each by itself. A run with fewer
    epochs than stages has one stage for each epoch, so that it also ends with the full size.
    Validation always uses the full size.
    """

    name: ClassVar[str] = "progressive_resizing"
    slot: ClassVar[str] = "image_size"
    paper: ClassVar[str] = "Tan & Le 2021, arXiv 2104.00298, section 4.2"

    start: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.5
    stages: Annotated[int, Between(2, 8)] = 4
    multiple: Annotated[int, AtLeast(1, 4096)] = 8

    def data_at(self, data: DataConfig, timestamp: Timestamp) -> DataConfig:
        """Set the image size of the epoch."""
        # A run always gives the size; only data that no plan has resolved have none.
        if data.image_size is None:
            return data
        stages = min(self.stages, timestamp.epochs)
        height, width = (
            size_at(timestamp.progress, side, self.start, stages, self.multiple)
            for side in height_width(data.image_size)
        )
        return replace(data, image_size=as_size(height, width))
