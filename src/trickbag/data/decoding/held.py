"""Training images of one size that are kept in memory once they have been decoded.

Shapes: N images of a part, H and W pixels, C channels.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trickbag.data.source import Part
from trickbag.memory import usable_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HELD_SHARE", "HeldPart", "held_limit"]

HELD_SHARE = 1 / 32
"""The share of the machine's memory that the images of all runs of a command may take."""


def held_limit(processes: int = 1) -> int:
    """Return how many bytes of images each of so many processes of a run may hold."""
    return int(usable_memory() * HELD_SHARE) // processes


class _Pixels:
    """The pixels of images of one size, as far as they are known; threads may share it.

    The memory of an image is taken when it is kept. A process that receives the pickled pixels
    begins with none.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self._lock = threading.Lock()
        self._known = np.zeros(images, bool)
        self._pixels_NHWC: NDArray[np.uint8] | None = None

    def __reduce__(self) -> tuple[type[_Pixels], tuple[int]]:
        return _Pixels, (self.images,)

    def get(self, row: int) -> NDArray[np.uint8] | None:
        """Return an image that is known."""
        if self._pixels_NHWC is None or not self._known[row]:
            return None
        image_HWC: NDArray[np.uint8] = self._pixels_NHWC[row]
        return image_HWC

    def keep(self, row: int, image_HWC: NDArray[np.uint8]) -> None:
        """Keep an image, if it has the size of the first one."""
        with self._lock:
            if self._pixels_NHWC is None:
                self._pixels_NHWC = np.empty((self.images, *image_HWC.shape), np.uint8)
        pixels_NHWC = self._pixels_NHWC
        if image_HWC.shape == pixels_NHWC.shape[1:]:
            pixels_NHWC[row] = image_HWC
            # After its pixels: another thread may look at any moment.
            self._known[row] = True


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldPart(Part):
    """Images of another part, `images`, each of which is decoded when it is first read.

    `rows` are their places in it; subsets share the pixels. An image that does not decode is read
    again whenever it is asked for, as from the other part.
    """

    in_memory: ClassVar[bool] = True
    by_image: ClassVar[tuple[str, ...]] = (*Part.by_image, "rows")

    images: Part
    rows: NDArray[np.int64]
    decoded: _Pixels = field(repr=False)

    @classmethod
    def of(cls, part: Part) -> HeldPart:
        """Hold the images of a part of classes."""
        return cls(
            names=part.names,
            labels=part.labels,
            sizes=part.sizes,
            groups=part.groups,
            pixels=part.pixels,
            images=part,
            rows=np.arange(len(part), dtype=np.int64),
            decoded=_Pixels(len(part)),
        )

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`; do not write into it. Raises DecodeError as the other part."""
        row = int(self.rows[i])
        image_HWC = self.decoded.get(row)
        if image_HWC is None:
            image_HWC = self.images.read(row)
            self.decoded.keep(row, image_HWC)
        return image_HWC
