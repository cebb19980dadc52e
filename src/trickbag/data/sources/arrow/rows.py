"""The rows of a pack: the columns of its record batches, and the checksums of these.

Each row has the checksum of its image. Each record batch has one of all else, labels and the places
of images included, in its own metadata.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.checksums import checksum_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.data.sources.arrow.header import PackHeader

__all__ = ["BATCH_CHECKSUM_KEY", "IMAGE", "batch_checksum", "has_columns", "pack_schema", "texts"]

BATCH_CHECKSUM_KEY = b"trickbag_crc32"

IMAGE = "image"
"""The column of the images."""


def pack_schema(
    header: PackHeader, metadata: dict[bytes, bytes], *, grouped: bool, utf8: bool
) -> Any:
    """Return the Arrow schema of a pack.

    grouped: whether images have groups. utf8: whether all names and groups are UTF-8; where one is
    not they are bytes.
    """
    import pyarrow as pa

    text = pa.string() if utf8 else pa.binary()
    label = ("labels", pa.list_(pa.int64())) if header.multi_label else ("label", pa.int64())
    columns = [
        ("name", text),
        ("part", pa.string()),
        label,
        *([("group", text)] if grouped else []),
        (IMAGE, pa.large_binary()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("original_height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_bytes", pa.int64()),
        ("frames", pa.int32()),
        ("crc32", pa.uint32()),
        ("error", pa.string()),
    ]
    return pa.schema(columns, metadata=metadata)


def has_columns(schema: Any, header: PackHeader) -> bool:
    """Tell whether a schema is that of a pack with this header."""
    forms = (
        pack_schema(header, {}, grouped=grouped, utf8=utf8)
        for grouped in (False, True)
        for utf8 in (False, True)
    )
    return any(schema.equals(form, check_metadata=False) for form in forms)


def texts(values: Sequence[str | bytes]) -> tuple[str, ...]:
    """Return names or groups as texts, whatever they are stored as."""
    return tuple(
        value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for value in values
    )


def batch_checksum(batch: Any, place: int) -> bytes:
    """Return the checksum of a record batch: of its place in the pack and all but image bytes."""
    total = zlib.crc32(f"{place} {batch.num_rows}".encode())
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for data in _contents(column, has_bytes=name != IMAGE):
            total = zlib.crc32(data, total)
    return checksum_text(total).encode()


def _contents(column: Any, *, has_bytes: bool = True) -> Iterator[Any]:
    """Yield what a column holds, in bytes that do not depend on how Arrow lays it out."""
    import pyarrow as pa

    yield column.is_valid().to_numpy(zero_copy_only=False).tobytes()
    kind = column.type
    if pa.types.is_list(kind):
        lengths = column.value_lengths().fill_null(0)
        yield lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield from _contents(column.flatten())
    elif pa.types.is_integer(kind):
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        yield values.astype(f"<{values.dtype.str[1:]}").tobytes()
    else:
        wide = pa.types.is_large_binary(kind)
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, "<i8" if wide else "<i4")
        ends = ends[column.offset : column.offset + len(column) + 1]
        yield np.diff(ends).astype("<i8").tobytes()
        if has_bytes and data is not None:
            yield memoryview(data)[int(ends[0]) : int(ends[-1])]
