"""A pack that is mapped to memory: the bytes of its images, each compared with its checksum.

A process that receives a part of a pack maps the file itself. Nothing of the file is copied.
"""

from __future__ import annotations

import contextlib
import functools
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trickbag.data.decoding.decode import DecodeError
from trickbag.data.sources.arrow.rows import IMAGE
from trickbag.errors import RunFailed
from trickbag.files import utf8_path
from trickbag.paths import MAPPED, require_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["MappedPack", "PackStamp", "arrow_errors", "map_pack", "pack_stamp", "record_batches"]


class PackStamp(NamedTuple):
    """What tells whether a file is the one that was opened: inode, size, time of change."""

    inode: int
    size: int
    mtime_ns: int


class _Images(NamedTuple):
    """The images of a record batch: their bytes, one behind the other, and what is said of them.

    places: (n + 1,) int64, where each begins and the last ends. errors: why an image is not there,
    by its row in the batch.
    """

    data: memoryview
    places: NDArray[np.int64]
    heights: NDArray[np.int32]
    widths: NDArray[np.int32]
    checksums: NDArray[np.uint32]
    errors: dict[int, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedPack:
    """The images of a pack by their rows.

    firsts: the first row of each record batch. checked: which images were compared with their
    checksums, in this process.
    """

    batches: tuple[_Images, ...]
    firsts: NDArray[np.int64]
    checked: NDArray[np.bool_]

    def view(self, row: int) -> memoryview:
        """Return the bytes of an image in the mapped file.

        Raises DecodeError for an image that was left out when the pack was written, and for one
        whose bytes are not those that were written.
        """
        images, i = self._place(row)
        if i in images.errors:
            raise DecodeError(images.errors[i])
        data = images.data[images.places[i] : images.places[i + 1]]
        # Once in each process: later epochs read the same memory.
        if not self.checked[row]:
            if zlib.crc32(data) != images.checksums[i]:
                raise DecodeError("damaged in its pack: its checksum does not match")
            self.checked[row] = True
        return data

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """Return an image of a pack of raw pixels as uint8 (H, W, C), a view of the file.

        Raises DecodeError as `view`.
        """
        data = self.view(row)
        images, i = self._place(row)
        height, width = int(images.heights[i]), int(images.widths[i])
        if not height * width or len(data) % (height * width):
            raise DecodeError(f"{len(data):,} bytes for {width} x {height} pixels")
        return np.frombuffer(data, np.uint8).reshape(height, width, -1)

    def _place(self, row: int) -> tuple[_Images, int]:
        batch = int(np.searchsorted(self.firsts, row, side="right")) - 1
        return self.batches[batch], row - int(self.firsts[batch])


def pack_stamp(path: Path) -> PackStamp:
    """Return the stamp of a file; UserError if it is no regular file, OSError if there is none."""
    require_regular(path, MAPPED)
    status = path.stat()
    return PackStamp(status.st_ino, status.st_size, status.st_mtime_ns)


# The stamp is part of the key, so that a file that was replaced is mapped anew.
@functools.lru_cache(maxsize=8)
def map_pack(path: str, stamp: PackStamp) -> MappedPack:
    """Map the images of a pack that was opened before, whose labels and places are intact.

    Raises RunFailed if it was replaced, or cannot be read.
    """
    file = Path(path)
    try:
        if pack_stamp(file) != stamp:
            raise RunFailed(f"{path} was replaced while it was read", "start again")
        with arrow_errors():
            batches = tuple(_images(batch) for batch, _ in record_batches(file))
    except (OSError, ValueError) as error:
        raise RunFailed(f"cannot read {path}: {error}") from error
    counts = [len(batch.heights) for batch in batches]
    firsts = np.cumsum([0, *counts], dtype=np.int64)
    return MappedPack(
        batches=batches, firsts=firsts[:-1], checked=np.zeros(int(firsts[-1]), np.bool_)
    )


def record_batches(path: Path) -> Iterator[tuple[Any, dict[bytes, bytes]]]:
    """Yield the record batches of an Arrow file, mapped to memory, with their metadata."""
    import pyarrow as pa

    # The arrays keep the mapping alive after the block has closed the file.
    with utf8_path(path) as text, pa.memory_map(text) as source:
        reader = pa.ipc.open_file(source)
        for i in range(reader.num_record_batches):
            batch, metadata = reader.get_batch_with_custom_metadata(i)
            # A damaged length would lead to memory beyond the file.
            batch.validate()
            yield batch, dict(metadata or {})


def _images(batch: Any) -> _Images:
    column = batch.column(IMAGE)
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    missing = np.flatnonzero(~column.is_valid().to_numpy(zero_copy_only=False)).tolist()
    reasons = batch.column("error")
    return _Images(
        data=memoryview(data if data is not None else b"").cast("B"),
        places=places,
        heights=batch.column("height").fill_null(0).to_numpy(),
        widths=batch.column("width").fill_null(0).to_numpy(),
        checksums=batch.column("crc32").fill_null(0).to_numpy(),
        errors={i: reasons[i].as_py() or "not in its pack" for i in missing},
    )


@contextlib.contextmanager
def arrow_errors() -> Iterator[None]:
    """Raise ValueError for each of the errors with which Arrow refuses a file."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
