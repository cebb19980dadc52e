"""Images in shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trickbag.data.decoding.decode import DecodeError
from trickbag.data.decoding.limits import LimitError, require_file_size
from trickbag.data.source import EncodedPart, Stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.sources.webdataset.storage import Storage

__all__ = ["ShardPart"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardPart(EncodedPart):
    """Images in tar files, which subsets share.

    base: what the names of shards are relative to. shards: the tar files in `storage`. places:
    (N, 2) int64, the shard of each image and where its bytes begin; `sizes` has their number.
    """

    by_image: ClassVar[tuple[str, ...]] = (*EncodedPart.by_image, "places")

    storage: Storage
    base: str
    shards: tuple[Stamp, ...]
    places: NDArray[np.int64]

    @property
    def place(self) -> str:
        """The folder of the shards, or its address."""
        return self.base

    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i` in its shard, if that has not changed."""
        shard, start = self.places[i].tolist()
        size = int(self.sizes[i])
        try:
            require_file_size(size, self.max_pixels)
        except LimitError as error:
            raise DecodeError(str(error)) from None
        data = self.storage.read(self.shards[shard], start, size)
        if len(data) != size:
            raise DecodeError("its shard ends before it does")
        return data

    def stamp(self, i: int) -> Stamp | None:
        """Return the place of image `i` in its shard, and when that was changed."""
        shard, start = self.places[i].tolist()
        place, _, mtime_ns = self.shards[shard]
        return Stamp(f"{place}#{start}", int(self.sizes[i]), mtime_ns)
