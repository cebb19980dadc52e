"""A pack that is not finished: what is written of it outlives whoever writes it.

It is an Arrow file without its end, beside the place of the pack. Its name has a hash of all that
decides the pack, so that it is continued with the same images and options alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trickbag.data.sources.arrow.rows import BATCH_CHECKSUM_KEY, IMAGE, batch_checksum
from trickbag.files import sync_folder, utf8_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PartialPack"]

_ENDING = ".partial"
_STREAM_START = 8
"""Where in an Arrow file its first message begins; from there on it is an Arrow stream."""


class PartialPack:
    """Writes a pack in the order of its record batches, and finds those of an earlier attempt.

    Within its block record batches are written; `finish` puts the file in its place.
    """

    def __init__(self, out: Path, key: str, schema: Any) -> None:
        self.path = out.with_name(f"{out.name}.{key}{_ENDING}")
        self._earlier = out.with_name(f"{out.name}.{key}.earlier{_ENDING}")
        self._out, self._schema = out, schema
        self._file: BinaryIO | None = None
        self._writer: Any = None
        self._written = 0

    def others(self) -> list[Path]:
        """Return what lies there of packs of this name with other images or options."""
        # With the key alone: another pack's name can begin with the name of this one.
        form = re.compile(rf"{re.escape(self._out.name)}\.[0-9a-f]{{16}}(\.earlier)?{_ENDING}")
        files = (file for file in self._out.parent.iterdir() if form.fullmatch(file.name))
        return sorted(file for file in files if file not in (self.path, self._earlier))

    def __enter__(self) -> PartialPack:
        # While an earlier file is there it holds all that the other one does, which was copied.
        if self._earlier.exists():
            self.path.unlink(missing_ok=True)
        elif self.path.exists():
            self.path.replace(self._earlier)
        import pyarrow as pa

        self._file = self.path.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def earlier(self) -> Iterator[Any]:
        """Yield the record batches of an earlier attempt that are as they were written."""
        if not self._earlier.exists():
            return
        import pyarrow as pa

        with utf8_path(self._earlier) as text, pa.memory_map(text) as source:
            source.seek(_STREAM_START)
            # It ends anywhere, as a process that is killed leaves it.
            with contextlib.suppress(pa.ArrowException, OSError, ValueError, StopIteration):
                reader = pa.ipc.open_stream(source)
                if not reader.schema.equals(self._schema, check_metadata=True):
                    return
                for place in itertools.count():
                    batch, metadata = reader.read_next_batch_with_custom_metadata()
                    batch.validate()
                    if not _is_intact(batch, dict(metadata or {}), place):
                        return
                    yield batch

    def forget_earlier(self) -> None:
        """Remove the file of an earlier attempt, all of which has been copied."""
        self.flush()
        self._earlier.unlink(missing_ok=True)

    def write(self, batch: Any) -> None:
        """Append a record batch."""
        checksum = batch_checksum(batch, self._written)
        self._writer.write_batch(batch, custom_metadata={BATCH_CHECKSUM_KEY: checksum})
        self._written += 1

    def flush(self) -> None:
        """Hand all that was written to the system, so that it outlives this process."""
        assert self._file is not None
        self._file.flush()

    def finish(self) -> int:
        """End the file and put it in its place, on the disk; return its size in bytes."""
        assert self._file is not None
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self.path.replace(self._out)
        sync_folder(self._out.parent)
        return size

    def remove(self) -> None:
        """Remove what is written so far: it is of no use."""
        for file in (self.path, self._earlier):
            file.unlink(missing_ok=True)


def _is_intact(batch: Any, metadata: dict[bytes, bytes], place: int) -> bool:
    """Compare a record batch with its checksum, and its images with theirs."""
    if metadata.get(BATCH_CHECKSUM_KEY) != batch_checksum(batch, place):
        return False
    images, sums = batch.column(IMAGE), batch.column("crc32").to_pylist()
    return all(
        total is None or zlib.crc32(image.as_buffer()) == total
        for image, total in zip(images, sums, strict=True)
    )
