"""A pack as a source."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trickbag.data.labels import multi_hot
from trickbag.data.source import DataError, PassedOver, Source
from trickbag.data.sources.arrow.header import SCHEMA, PackHeader, header_of
from trickbag.data.sources.arrow.mapped import (
    PackStamp,
    arrow_errors,
    pack_stamp,
    record_batches,
)
from trickbag.data.sources.arrow.part import PackedPart, RawPackedPart
from trickbag.data.sources.arrow.rows import (
    BATCH_CHECKSUM_KEY,
    IMAGE,
    batch_checksum,
    has_columns,
    texts,
)
from trickbag.errors import UserError, first_line
from trickbag.paths import MAPPED, open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig

__all__ = ["open_pack"]

_MAGIC = b"ARROW1"
_AGAIN = "copy it again, or write it again with `trickbag pack`"
_COLUMN_SETTINGS = ("image_column", "label_column", "group_column")


def open_pack(path: Path, data: DataConfig, *, strict: bool = True) -> Source:
    """List the images of a pack, as they were listed when it was written; nothing is decoded.

    All that is listed is compared with its checksum; an image is when it is read. Parts are
    `PackedPart`s. If it is `strict`, columns that settings name must be those of the source that
    was packed. Raises UserError for a file that is no pack, is damaged or cut, or was written by a
    newer version, and for settings that contradict it.
    """
    title = f"data source {data.source!r}"
    try:
        header, columns, stamp = _read(path, title)
        parts = _parts(path, header, columns, stamp)
    except OSError as error:
        raise UserError(f"{title} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        # All that a damaged file can lead to.
        raise UserError(f"{title} is damaged: {first_line(error)}", _AGAIN) from error
    _require_settings(header, data, title, strict=strict)
    return Source(
        spec=data.source,
        classes=header.classes,
        parts=parts,
        natural_size=header.natural_size,
        mirror=header.mirror,
        columns=header.columns,
        label_separator=header.label_separator,
        left_out=tuple(DataError(*row) for row in header.left_out),
        passed_over=tuple(PassedOver(*row) for row in header.passed_over),
    )


class _Columns(NamedTuple):
    """The columns of all rows that a listing needs; `labels` as Arrow has them."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    labels: list[Any]
    sizes: NDArray[np.int64]


def _read(path: Path, title: str) -> tuple[PackHeader, _Columns, PackStamp]:
    """Read all of a pack but its images.

    Raises UserError for a file that is no pack, ValueError and others for a damaged one.
    """
    import pyarrow as pa

    stamp = pack_stamp(path)
    _require_arrow(path, title, stamp.size)
    with arrow_errors():
        batches = record_batches(path)
        first = next(batches, None)
        header = None if first is None else _header(first[0].schema, title)
        if header is None or first is None:
            raise UserError(
                f"{title} is an Arrow file of another program",
                "a pack is what `trickbag pack SOURCE --out FILE.arrow` writes; "
                "a data set of Hugging Face is hf:FOLDER",
            )
        if not has_columns(first[0].schema, header):
            raise ValueError("its columns are not those of a pack")
        tables = []
        for place, (batch, metadata) in enumerate([first, *batches]):
            if metadata.get(BATCH_CHECKSUM_KEY) != batch_checksum(batch, place):
                raise ValueError(
                    f"the checksum of the names and labels of its group {place + 1} of images "
                    "does not match"
                )
            tables.append(_listed(batch, header))
        table = pa.Table.from_batches(tables)
        columns = _columns(table, header)
    _require_rows(table, header)
    return header, columns, stamp


def _header(schema: Any, title: str) -> PackHeader | None:
    """Return the header of a pack; None for another file, UserError for another version."""
    try:
        header = header_of(schema.metadata or {})
    except UserError as error:
        raise UserError(f"{title}: {error.reason}", _AGAIN) from None
    if isinstance(header, int):
        raise UserError(
            f"{title} is a pack of version {header}, and this program reads version {SCHEMA}",
            "update trickbag, or write the pack again",
        )
    return header


def _listed(batch: Any, header: PackHeader) -> Any:
    """Return the columns of a record batch that a listing needs."""
    import pyarrow as pa

    label = "labels" if header.multi_label else "label"
    if header.encoding == "original":
        sizes = batch.column("original_bytes")
    else:
        places = np.frombuffer(batch.column(IMAGE).buffers()[1], np.int64)
        sizes = pa.array(np.diff(places[: batch.num_rows + 1]))
    names = [name for name in ("name", "part", label, "group") if name in batch.schema.names]
    return pa.RecordBatch.from_arrays(
        [*(batch.column(name) for name in names), sizes], [*names, "size"]
    )


def _columns(table: Any, header: PackHeader) -> _Columns:
    groups = table.column("group").to_pylist() if "group" in table.schema.names else ()
    return _Columns(
        names=texts(table.column("name").to_pylist()),
        groups=texts(groups),
        labels=table.column("labels" if header.multi_label else "label").to_pylist(),
        sizes=table.column("size").to_numpy().astype(np.int64),
    )


def _require_rows(table: Any, header: PackHeader) -> None:
    """Raise ValueError unless the rows are those that the header counts, part by part."""
    parts = table.column("part").to_pylist()
    if parts != [name for name, count in header.parts for _ in range(count)]:
        raise ValueError(f"it has {len(parts):,} rows, and not those that its header counts")


def _require_arrow(path: Path, title: str, size: int) -> None:
    """Raise UserError for a file that does not begin and end as an Arrow file does."""
    if not size:
        raise UserError(f"{title} is an empty file", _AGAIN)
    with open_regular(path, MAPPED) as file:
        head = file.read(len(_MAGIC))
        file.seek(max(0, size - len(_MAGIC)))
        tail = file.read()
    if head != _MAGIC:
        raise UserError(
            f"{title} is no Arrow file (in the IPC file format), which a pack is",
            "`trickbag pack SOURCE --out FILE.arrow` writes one; a data set of Hugging Face is "
            "hf:FOLDER",
        )
    if tail != _MAGIC:
        raise UserError(f"{title} is cut off before its end", _AGAIN)


def _require_settings(header: PackHeader, data: DataConfig, title: str, *, strict: bool) -> None:
    if data.multi_label != header.multi_label:
        has = "several labels" if header.multi_label else "one label"
        way_out = "leave data.multi_label out"
        if header.multi_label:
            way_out = "add --set data.multi_label=true"
        raise UserError(f"{title} is a pack of images with {has} each", way_out)
    for name in _COLUMN_SETTINGS if strict else ():
        given, packed = getattr(data, name), getattr(header, name)
        if given not in (None, packed):
            was = "without it" if packed is None else f"with {name} = {packed}"
            raise UserError(
                f"data.{name} = {given}: {title} is a pack that was written {was}",
                "leave it out, or write the pack again",
            )


def _parts(
    path: Path, header: PackHeader, columns: _Columns, stamp: PackStamp
) -> dict[str, PackedPart]:
    kind = RawPackedPart if header.encoding == "raw" else PackedPart
    parts = {}
    ends = np.cumsum([0, *(count for _, count in header.parts)]).tolist()
    for (name, _), (start, end) in zip(header.parts, pairwise(ends), strict=True):
        parts[name] = kind(
            names=columns.names[start:end],
            labels=_labels(columns.labels[start:end], header),
            sizes=columns.sizes[start:end],
            groups=columns.groups[start:end],
            path=os.path.abspath(path),
            opened=stamp,
            rows=np.arange(start, end, dtype=np.int64),
        )
    return parts


def _labels(rows: list[Any], header: PackHeader) -> NDArray[np.int64]:
    """Return labels as a part has them; ValueError for one that is no class."""
    num_classes = len(header.classes)
    numbers = [label for row in rows for label in row] if header.multi_label else rows
    if not all(0 <= label < num_classes for label in numbers if label is not None):
        raise ValueError(f"a label is none of its {num_classes:,} classes")
    if header.multi_label:
        return multi_hot(rows, num_classes)
    return np.array([-1 if label is None else label for label in rows], np.int64)
