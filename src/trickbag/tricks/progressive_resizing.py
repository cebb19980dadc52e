"""Progressive resizing: training begins with small images, which grow to their size over the
run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.settings import AtLeast, Between
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.tricks.trick import Timestamp

__all__ = ["ProgressiveResizing", "size_at"]

_LEAST = 8


def size_at(
    progress: float, image_size: int, start: float = 0.5, stages: int = 4, multiple: int = 8
) -> int:
    """Return the side of the images in pixels at `progress` in [0, 1] of a run whose images end at `image_size`.

    The run has `stages` parts of equal length, at least 1; the sizes rise linearly from `start
    image_size` in the first to `image_size` in the last, each rounded to a multiple of `multiple`
    but the last, and never below 8 px or above `image_size`. Source: Tan & Le 2021 (arXiv
    2104.00298), algorithm 1.
    """
    # A boundary that falls on an epoch must not slip below it by rounding.
    stage = min(stages - 1, int(progress * stages + 1e-9))
    if stage == stages - 1:
        return image_size
    size = image_size * (start + (1 - start) * stage / (stages - 1))
    return min(image_size, max(_LEAST, max(1, round(size / multiple)) * multiple))


@dataclass(frozen=True, kw_only=True)
class ProgressiveResizing(Trick):
    """Train on small images first: from `start` of the size, in `stages` of equal length, to the whole size.

    Sizes are multiples of `multiple` pixels. A run of fewer epochs than stages has a stage an
    epoch, so that it too ends with the whole size. Validation has the whole size throughout.
    """

    name: ClassVar[str] = "progressive_resizing"
    slot: ClassVar[str] = "image_size"
    paper: ClassVar[str] = "Tan & Le 2021, arXiv 2104.00298, section 4.2"

    start: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.5
    stages: Annotated[int, Between(2, 8)] = 4
    multiple: Annotated[int, AtLeast(1)] = 8

    def data_at(self, data: DataConfig, timestamp: Timestamp) -> DataConfig:
        """Set the image size of the epoch."""
        if data.image_size is None:
            return data
        stages = min(self.stages, timestamp.epochs)
        size = size_at(timestamp.progress, data.image_size, self.start, stages, self.multiple)
        return replace(data, image_size=size)
