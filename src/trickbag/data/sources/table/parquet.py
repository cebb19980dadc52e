"""The cells of a Parquet file as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from trickbag.data.sources.table.sheet import Sheet
from trickbag.data.sources.table.vocabulary import role_of
from trickbag.errors import UserError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_parquet"]

LIST_SEPARATOR = "|"
"""Put between the values of a list, such as several labels of an image."""


def read_parquet(file: BinaryIO, title: str, form: str) -> Sheet:
    """Read the columns of a Parquet file that are texts, numbers, or lists of them.

    Missing values and NaN become empty texts, whole numbers stay whole. Raises UserError for what
    is no Parquet file, and if its images lie in it; messages begin with `title`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file)
        schema = opened.schema_arrow
        names = [field.name for field in schema if _is_readable(field.type)]
        if held := [field.name for field in schema if _holds_images(field)]:
            raise UserError(
                f"{title} holds the images themselves, in its column {held[0]!r}",
                "a table names files: write them to a folder, or give the folder of the Parquet "
                "file as hf:FOLDER",
            )
        table = opened.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{title} is not a Parquet file: {first_line(error)}") from None
    if not names:
        raise UserError(f"{title} is empty", form)
    return Sheet(
        names=tuple(name.strip() for name in table.column_names),
        cells=tuple(_texts(column) for column in table.columns),
        lines=range(1, table.num_rows + 1),
        separator="",
    )


def _is_readable(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_readable(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_readable(kind.value_type) and not types.is_nested(kind.value_type)
    return not (types.is_nested(kind) or _is_binary(kind))


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _holds_images(field: Any) -> bool:
    from pyarrow import types

    inner = [field.type.field(i).type for i in range(field.type.num_fields)]
    return role_of(field.name)[0] == "image" and (
        _is_binary(field.type) or (types.is_struct(field.type) and any(map(_is_binary, inner)))
    )


def _texts(column: Any) -> Sequence[str]:
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        column = compute.cast(column, column.type.value_type)
    kind = column.type
    if types.is_list(kind) or types.is_large_list(kind):
        return [
            LIST_SEPARATOR.join(str(value) for value in values or () if value is not None)
            for values in column.to_pylist()
        ]
    if types.is_floating(kind):
        # pandas makes such a column of whole numbers of which some are missing.
        column = compute.if_else(compute.is_finite(column), column, None)
        are_whole = compute.all(compute.equal(compute.floor(column), column)).as_py()
        if are_whole is not False and (compute.max(compute.abs(column)).as_py() or 0) < 2**53:
            column = compute.cast(column, pa.int64())
        else:
            return ["" if value is None else repr(value) for value in column.to_pylist()]
    if not (types.is_string(kind) or types.is_large_string(kind)):
        column = compute.cast(column, pa.string())
    texts: list[str] = compute.fill_null(column, "").to_pylist()
    return texts
