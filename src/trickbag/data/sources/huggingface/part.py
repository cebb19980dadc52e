"""Images in a table of the library `datasets`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trickbag.data.decoding.decode import DecodeError, read_bytes
from trickbag.data.decoding.limits import LimitError, require_file_size
from trickbag.data.source import EncodedPart, Stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TablePart"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TablePart(EncodedPart):
    """Images in a column of a table of the library `datasets`, which subsets share.

    table: a `datasets.Dataset` of the column `column` alone, whose values hold the bytes of an
    image file, or its path. rows: (N,) int64, places in the table. file: the first of the table's.
    written_ns: when they were written. by_path: whether any value is a path. The part is pickled
    without its images: a process that receives it maps the files of the table itself.
    """

    by_image: ClassVar[tuple[str, ...]] = (*EncodedPart.by_image, "rows")

    table: Any
    column: str
    rows: NDArray[np.int64]
    file: str
    written_ns: int
    by_path: bool

    @property
    def place(self) -> str:
        """The folder of the table."""
        return os.path.dirname(self.file)

    def _value(self, i: int) -> dict[str, Any]:
        value: dict[str, Any] = self.table[int(self.rows[i])][self.column]
        return value

    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i`, from the table or from the file that it names."""
        value = self._value(i)
        data: bytes | None = value["bytes"]
        if data is None:
            return read_bytes(value["path"], self.max_pixels)
        try:
            require_file_size(len(data), self.max_pixels)
        except LimitError as error:
            raise DecodeError(str(error)) from None
        return data

    def stamp(self, i: int) -> Stamp | None:
        """Return the stamp of the file of image `i`, or its place in the table."""
        # The bytes are not read for it where all lie in the table.
        path = self._value(i)["path"] if self.by_path else None
        if path is None or self._value(i)["bytes"] is not None:
            return Stamp(f"{self.file}#{self.rows[i]}", int(self.sizes[i]), self.written_ns)
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return Stamp(path, status.st_size, status.st_mtime_ns)
