"""Images in a pack.

Shapes: H and W pixels, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trickbag.data.decoding.decode import DecodeError
from trickbag.data.decoding.limits import LimitError, require_file_size, require_pixels
from trickbag.data.decoding.stored import StoredError, StoredImage, rendered
from trickbag.data.source import EncodedPart, Part, Stamp
from trickbag.data.sources.arrow.mapped import PackStamp, map_pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.data.decoding.region import Drawn

__all__ = ["PackedPart", "RawPackedPart"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedPart(EncodedPart):
    """Images in a pack, as the bytes of image files; `rows` are their rows in it.

    It is pickled without its images: a process that receives it maps the file itself. `opened` is
    the stamp of the file as it was opened.
    """

    by_image: ClassVar[tuple[str, ...]] = (*EncodedPart.by_image, "rows")

    path: str
    opened: PackStamp
    rows: NDArray[np.int64]

    @property
    def place(self) -> str:
        """The file of the pack."""
        return self.path

    def view(self, i: int) -> memoryview:
        """Return the bytes of image `i` in the mapped file; see `MappedPack.view`."""
        return map_pack(self.path, self.opened).view(int(self.rows[i]))

    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i`, if they are those that were written."""
        data = self.view(i)
        try:
            require_file_size(len(data), self.max_pixels)
        except LimitError as error:
            raise DecodeError(str(error)) from None
        return bytes(data)

    def stamp(self, i: int) -> Stamp | None:
        """Return the row of image `i` in its pack, and when that was written."""
        return Stamp(f"{self.path}#{self.rows[i]}", int(self.sizes[i]), self.opened.mtime_ns)


@dataclass(frozen=True, kw_only=True, eq=False)
class RawPackedPart(PackedPart):
    """Images in a pack as pixels, uint8 (H, W, 1) or (H, W, 3): nothing is decoded."""

    def values(self, i: int) -> NDArray[np.uint8]:
        """Return the pixels of image `i` as they are stored, (H, W, C), a view of the file.

        Raises DecodeError as `view`, and for more than `max_pixels` pixels.
        """
        pixels = map_pack(self.path, self.opened).pixels(int(self.rows[i]))
        height, width, _ = pixels.shape
        try:
            require_pixels(width, height, self.max_pixels)
        except LimitError as error:
            raise DecodeError(str(error)) from None
        return pixels

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`, as RGB a view of the file; do not write into it."""
        pixels = self.values(i)
        try:
            stored = StoredImage(values=pixels, bands=pixels.shape[2])
            return rendered(stored, self.pixels).pixels
        except StoredError as error:
            raise DecodeError(str(error)) from None

    def read_box(
        self, i: int, draw: Callable[[int, int], Drawn], *, verified: bool = False
    ) -> tuple[Drawn, NDArray[np.uint8]]:
        """Read a box of image `i`, a view of the file; see `Part.read_box`."""
        return Part.read_box(self, i, draw, verified=verified)

    def encoded(self, i: int) -> bytes:
        """Return image `i` as a file of PNM: a short header, and the pixels as they are."""
        pixels = self.values(i)
        height, width, channels = pixels.shape
        if channels not in (1, 3):
            raise DecodeError(f"{channels} channels: a pack of raw pixels has 1 or 3")
        head = f"P{6 if channels == 3 else 5}\n{width} {height}\n255\n"
        return head.encode() + pixels.tobytes()
