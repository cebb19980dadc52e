"""Images in shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from trickbag.data.decoding.decode import DecodeError
from trickbag.data.decoding.limits import LimitError, require_file_size
from trickbag.data.source import EncodedPart, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from trickbag.data.source import Part
    from trickbag.data.sources.webdataset.storage import Storage

__all__ = ["ShardPart"]

_GAP = 1 << 16
"""The most bytes between two images, in bytes, that are read with them and dropped."""

_LONGEST = 1 << 24
"""The most bytes that are read at once, unless an image has more."""


_CUT = "its shard ends before it does"


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardPart(EncodedPart):
    """Images in tar files, which subsets share.

    base: what the names of shards are relative to. shards: the tar files in `storage`. places:
    (N, 2) int64, the shard of each image and where its bytes begin; `sizes` has their number.
    streamed: an epoch reads the shards in sequence. held: bytes of images that were read already,
    or the reason why they cannot be, by their place in the part.
    """

    by_image: ClassVar[tuple[str, ...]] = (*EncodedPart.by_image, "places")

    storage: Storage
    base: str
    shards: tuple[Stamp, ...]
    places: NDArray[np.int64]
    streamed: bool = False
    held: Mapping[int, bytes | str] = field(default_factory=dict)

    @property
    def is_streamed(self) -> bool:
        """Whether an epoch reads the shards in sequence."""
        return self.streamed

    @property
    def place(self) -> str:
        """The folder of the shards, or its address."""
        return self.base

    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i` in its shard, if that has not changed."""
        known = self.held.get(i)
        if isinstance(known, str):
            raise DecodeError(known)
        if known is not None:
            return known
        shard, start = self.places[i].tolist()
        size = int(self.sizes[i])
        try:
            require_file_size(size, self.max_pixels)
        except LimitError as error:
            raise DecodeError(str(error)) from None
        data = self.storage.read(self.shards[shard], start, size)
        if len(data) != size:
            raise DecodeError(_CUT)
        return data

    def holding(self, held: Mapping[int, bytes | str]) -> Self:
        """Return the part with bytes of images that were read already, by `read_rows`."""
        return replace(self, held=held)

    def read_rows(self, rows: NDArray[np.int64]) -> dict[int, bytes | str]:
        """Read images in sequence: the bytes of each, or the reason why they cannot be read.

        Images that lie one behind the other, with little between them, are read at once. Raises
        RunFailed if it is the process or the network that cannot read.
        """
        contents: dict[int, bytes | str] = {}
        within = []
        for row in rows.tolist():
            try:
                require_file_size(int(self.sizes[row]), self.max_pixels)
                within.append(row)
            except LimitError as error:
                contents[row] = str(error)
        within.sort(key=lambda row: (*self.places[row].tolist(), row))
        for run in self._runs(within):
            contents |= self._read_run(run)
        return contents

    def _runs(self, rows: Sequence[int]) -> Iterator[list[int]]:
        """Divide ordered rows into those whose bytes are read at once."""
        run: list[int] = []
        first = last = (-1, -1)
        for row in rows:
            shard, start = self.places[row].tolist()
            end = start + int(self.sizes[row])
            near = shard == last[0] and start - last[1] <= _GAP and end - first[1] <= _LONGEST
            if run and not near:
                yield run
                run = []
            if not run:
                first = (shard, start)
            run.append(row)
            last = (shard, max(end, last[1] if near else end))
        if run:
            yield run

    def _read_run(self, rows: Sequence[int]) -> dict[int, bytes | str]:
        shard, first = self.places[rows[0]].tolist()
        ends = [int(self.places[row, 1] + self.sizes[row]) for row in rows]
        try:
            data = self.storage.read(self.shards[shard], first, max(ends) - first)
        except DecodeError as error:
            return dict.fromkeys(rows, str(error))
        contents: dict[int, bytes | str] = {}
        for row, end in zip(rows, ends, strict=True):
            cut = end - first > len(data)
            contents[row] = _CUT if cut else data[int(self.places[row, 1]) - first : end - first]
        return contents

    def stamp(self, i: int) -> Stamp | None:
        """Return the place of image `i` in its shard, and when that was changed."""
        shard, start = self.places[i].tolist()
        place, _, mtime_ns = self.shards[shard]
        return Stamp(f"{place}#{start}", int(self.sizes[i]), mtime_ns)

    def joined(self, other: Part) -> Self | None:
        """Return the part with the images of another behind its own, whose shards may be others."""
        if not isinstance(other, ShardPart):
            return None
        shards = self.shards + other.shards
        places = other.places + np.array([len(self.shards), 0])
        return super(ShardPart, replace(self, shards=shards)).joined(
            replace(other, shards=shards, places=places)
        )
