"""Logits of teachers for a part's images, stored once in an Arrow file that is mapped into memory.

Only the largest logits of each image are stored, and what the others come to together.

Shapes: N images, M teachers, K classes, k logits that are stored of the K.
"""

from __future__ import annotations

import contextlib
import functools
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trickbag.checksums import DamagedFile, checksum_text
from trickbag.errors import RunFailed, UserError, first_line
from trickbag.files import replacing, utf8_path
from trickbag.paths import MAPPED, require_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["LargestLogits", "TeacherLogits", "keep_largest", "restore", "write_teacher_logits"]

SCHEMA = 3
"""Version of the file: its columns and its metadata.

Files of version 2 have checksums of their rows alone, and are read too.
"""

_METADATA_KEY = b"trickbag"
_CHECKSUM_KEY = b"trickbag_crc32"
"""The key of the metadata's checksum, and of that of each record batch."""

_BATCH_ROWS = 4096
"""Rows of each Arrow record batch but the last, so that a division finds a row."""

_LARGEST_FLOAT16 = 60_000.0
"""Logits are stored within plus and minus this; float16 ends at 65,504."""


class LargestLogits(NamedTuple):
    """The largest k of K logits, and the probability of all others.

    logits: (N, M, k) float16, descending. classes: (N, M, k) int32, the class of each. rest: (N, M)
    float32.

    With one label per image, the largest logit is shifted to 0, and `rest` is the other classes'
    probability together, in [0, 1). With several, each class has a probability of its own: the
    logits are not shifted, and `rest` is the sum of the other classes' probabilities, in
    [0, K - k].
    """

    logits: NDArray[np.float16]
    classes: NDArray[np.int32]
    rest: NDArray[np.float32]

    def rows(self, rows: slice) -> LargestLogits:
        """Return some of the N rows."""
        return LargestLogits(self.logits[rows], self.classes[rows], self.rest[rows])


def keep_largest(
    logits_NMK: NDArray[np.floating[Any]], top: int, *, multi_label: bool = False
) -> LargestLogits:
    """Keep the `top` largest of K logits, or all if there are no more.

    `multi_label`: the teachers give several labels per image, each by a sigmoid of its own.
    """
    logits = logits_NMK.astype(np.float64)
    if not multi_label:
        logits -= logits.max(axis=-1, keepdims=True)
    classes = np.argsort(-logits, axis=-1, kind="stable")
    descending = np.take_along_axis(logits, classes, axis=-1)
    # The others are summed, not taken as 1 minus the kept ones: what is lost beside 1 in float64
    # counts again at a high temperature.
    if multi_label:
        # The logarithm of the sigmoid does not overflow.
        rest = np.exp(-np.logaddexp(0, -descending[..., top:])).sum(axis=-1)
    else:
        powers = np.exp(descending)
        rest = powers[..., top:].sum(axis=-1) / powers.sum(axis=-1)
    kept = descending[..., :top].clip(-_LARGEST_FLOAT16, _LARGEST_FLOAT16).astype(np.float16)
    return LargestLogits(kept, classes[..., :top].astype(np.int32), rest.astype(np.float32))


def restore(
    largest: LargestLogits, num_classes: int, *, multi_label: bool = False
) -> NDArray[np.float32]:
    """Return logits (N, M, K) float32 with the softmax of the teachers, as far as it was stored.

    With `multi_label` it is their sigmoid. The classes that were not stored share the rest of the
    probability evenly: they have the same logit, at any temperature. If all classes were stored,
    only the rounding to float16 is lost.
    """
    logits = largest.logits.astype(np.float32)
    top = logits.shape[-1]
    logits_NMK = np.empty((*logits.shape[:-1], num_classes), np.float32)
    if top < num_classes:
        logits_NMK[...] = _even_logit(largest, num_classes - top, multi_label=multi_label)[
            ..., None
        ]
    np.put_along_axis(logits_NMK, largest.classes.astype(np.int64), logits, axis=-1)
    return logits_NMK


def _even_logit(largest: LargestLogits, others: int, *, multi_label: bool) -> NDArray[np.float64]:
    """Return the logit (N, M) of each of the `others`, which share the rest evenly."""
    rest = largest.rest.astype(np.float64)
    even: NDArray[np.float64]
    # A rest of 0 is a logit of minus infinity, which is meant.
    with np.errstate(divide="ignore"):
        if multi_label:
            each = rest / others
            even = np.log(each) - np.log1p(-each)
        else:
            kept = np.exp(largest.logits.astype(np.float64)).sum(axis=-1)
            even = np.log(rest / (1 - rest) * kept / others)
    return even


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherLogits:
    """The logits of a file. A process that receives this object maps the file itself.

    metadata: what the file says of its content: teachers, preprocessing, data, classes. images:
    rows of the part. views: how many views of each image the teachers have seen. stamp: inode and
    modification time, by which another file at the same path is noticed.
    """

    path: Path
    metadata: Mapping[str, Any]
    images: int
    views: int
    num_classes: int
    multi_label: bool
    stamp: tuple[int, int]

    @classmethod
    def open(cls, path: Path) -> TeacherLogits:
        """Open a file that `write_teacher_logits` has written; compare it with its checksums.

        Raises UserError for a file that cannot be read, is damaged or of another kind.
        """
        try:
            stamp = _stamp(path)
            with _arrow_errors():
                _require_checksums(path)
            metadata, batches = _mapped(path, stamp)
            _check(metadata, batches)
            return cls(
                path=path,
                metadata=metadata,
                images=int(metadata["images"]),
                views=int(metadata["views"]),
                num_classes=int(metadata["num_classes"]),
                multi_label=bool(metadata["several_labels"]),
                stamp=stamp,
            )
        except OSError as error:
            raise UserError(
                f"cannot read the teacher's logits {path}: {error.strerror or error}"
            ) from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            # All that damaged metadata, or metadata of another kind of file, can lead to.
            raise UserError(
                f"{path} holds no logits of a teacher, or is damaged: {first_line(error)}",
                "remove it to have it written again",
            ) from error

    def logits(self, rows: NDArray[np.int64], epoch: int = 0) -> NDArray[np.float32]:
        """Return the logits (N, M, K) of rows of the part, in the view of an epoch, from 0.

        Raises RunFailed if the file is damaged.
        """
        _, batches = _mapped(self.path, self.stamp)
        places = (rows + epoch % self.views * self.images).tolist()
        stored = [batches[place // _BATCH_ROWS].row(place % _BATCH_ROWS) for place in places]
        intact = [row for row in stored if row is not None]
        if len(intact) < len(stored):
            raise RunFailed(
                f"{self.path} is damaged", "remove it, and the teacher's logits are computed again"
            )
        largest = LargestLogits(*(np.stack(column) for column in zip(*intact, strict=True)))
        return restore(largest, self.num_classes, multi_label=self.multi_label)


def _check(metadata: Mapping[str, Any], batches: list[_RecordBatch]) -> None:
    """Raise ValueError, LookupError or TypeError if a file contradicts itself."""
    if metadata["schema"] not in (2, SCHEMA):
        raise ValueError("it is of another version")
    if sum(len(batch.sums) for batch in batches) != int(metadata["images"]) * int(
        metadata["views"]
    ):
        raise ValueError("rows are missing")
    same_classes = int(metadata["num_classes"]) == len(metadata["classes"])
    if not same_classes or int(metadata["networks"]) != len(metadata["teachers"]):
        raise ValueError("it does not say the same everywhere of its classes and teachers")


class _RecordBatch(NamedTuple):
    """The columns of an Arrow record batch, as views of the mapped file."""

    logits: NDArray[np.float16]
    classes: NDArray[np.int32]
    rest: NDArray[np.float32]
    sums: NDArray[np.uint32]

    def row(self, i: int) -> LargestLogits | None:
        """Return a row, or None if it does not have its checksum."""
        row = LargestLogits(self.logits[i], self.classes[i], self.rest[i])
        return row if _checksum(row) == self.sums[i] else None


def _checksum(row: LargestLogits) -> int:
    value = 0
    for column in row:
        value = zlib.crc32(column.tobytes(), value)
    return value


def _require_checksums(path: Path) -> None:
    """Compare metadata and record batches with their checksums; raise ValueError."""
    import pyarrow as pa

    with utf8_path(path) as name, pa.memory_map(name) as source:
        reader = pa.ipc.open_file(source)
        texts = reader.schema.metadata or {}
        text = texts.get(_METADATA_KEY, b"{}")
        if _CHECKSUM_KEY not in texts:
            if json.loads(text)["schema"] == SCHEMA:
                raise DamagedFile("the checksum of its metadata is gone")
            return
        if texts[_CHECKSUM_KEY] != checksum_text(zlib.crc32(text)).encode():
            raise DamagedFile("the checksum of its metadata does not match")
        for i in range(reader.num_record_batches):
            batch, stored = reader.get_batch_with_custom_metadata(i)
            batch.validate()
            if (stored or {}).get(_CHECKSUM_KEY) != _batch_checksum(batch, i):
                raise DamagedFile(f"the checksum of its part {i + 1} does not match")


def _batch_checksum(batch: Any, place: int) -> bytes:
    """Return the checksum of the values of an Arrow record batch and of its place in the file."""
    value = zlib.crc32(str((place, batch.num_rows)).encode())
    for column in _flat(batch.columns):
        value = zlib.crc32(column.data, value)
    return checksum_text(value).encode()


# The stamp is part of the key, so that a file that was replaced is mapped anew.
@functools.lru_cache(maxsize=4)
def _mapped(path: Path, stamp: tuple[int, int]) -> tuple[dict[str, Any], list[_RecordBatch]]:
    """Map a file; return its metadata and its record batches."""
    import pyarrow as pa

    if _stamp(path) != stamp:
        raise RunFailed(f"{path} was replaced while a run read it: start that again")
    with _arrow_errors(), utf8_path(path) as text, pa.memory_map(text) as source:
        reader = pa.ipc.open_file(source)
        metadata = json.loads((reader.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
        teachers, kept = int(metadata["networks"]), int(metadata["kept"])
        batches = []
        for i in range(reader.num_record_batches):
            record_batch = reader.get_batch(i)
            # A damaged length would lead to memory beyond the file.
            record_batch.validate()
            # The arrays keep the mapping alive after the block has closed the file.
            batch = _columns(record_batch.columns, teachers, kept)
            if len({len(column) for column in batch}) != 1:
                raise ValueError("its columns are of different lengths")
            if i + 1 < reader.num_record_batches and len(batch.sums) != _BATCH_ROWS:
                raise ValueError("its parts are of other lengths")
            batches.append(batch)
        return metadata, batches


def _columns(columns: Iterable[Any], teachers: int, kept: int) -> _RecordBatch:
    """Return the columns of an Arrow record batch as arrays, without copying them."""
    logits, classes, rest, sums = _flat(columns)
    return _RecordBatch(
        logits.reshape(-1, teachers, kept),
        classes.reshape(-1, teachers, kept),
        rest.reshape(-1, teachers),
        sums,
    )


def _flat(columns: Iterable[Any]) -> list[NDArray[Any]]:
    """Return the values of Arrow's columns, those of all rows of a column one after the other."""
    import pyarrow as pa

    return [
        (column.flatten() if pa.types.is_fixed_size_list(column.type) else column).to_numpy()
        for column in columns
    ]


def _stamp(path: Path) -> tuple[int, int]:
    require_regular(path, MAPPED)
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def _arrow_errors() -> Iterator[None]:
    """Raise ValueError for each of the errors with which Arrow refuses a file."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def write_teacher_logits(
    path: Path,
    metadata: Mapping[str, Any],
    logits: Iterable[NDArray[np.floating[Any]]],
    *,
    images: int,
    views: int,
) -> None:
    """Write teacher logits to an Arrow IPC file, atomically.

    `logits` yields arrays (N, M, K): those of all `images` rows of the part in the first view, in
    order, then those in the next view. `metadata` has at least: `teachers` and `classes`, lists;
    `top`, how many logits to keep of each image; `several_labels`, whether the teachers give
    several labels per image. Raises RunFailed if the file cannot be written.
    """
    import pyarrow as pa

    teachers, num_classes = len(metadata["teachers"]), len(metadata["classes"])
    kept = min(int(metadata["top"]), num_classes)
    # These keys are the file's format; "networks" are the teachers.
    sizes = {
        "images": images,
        "views": views,
        "networks": teachers,
        "num_classes": num_classes,
        "kept": kept,
    }
    text = json.dumps({"schema": SCHEMA, **metadata, **sizes}, sort_keys=True).encode()
    schema = pa.schema(
        [
            ("logits", pa.list_(pa.float16(), teachers * kept)),
            ("classes", pa.list_(pa.int32(), teachers * kept)),
            ("rest", pa.list_(pa.float32(), teachers)),
            ("checksum", pa.uint32()),
        ],
        metadata={_METADATA_KEY: text, _CHECKSUM_KEY: checksum_text(zlib.crc32(text))},
    )
    keep = functools.partial(keep_largest, top=kept, multi_label=metadata["several_labels"])
    with replacing(path) as file, pa.ipc.new_file(file, schema) as writer:
        for place, rows in enumerate(_in_batches(map(keep, logits))):
            batch = pa.record_batch(_arrow_columns(rows), schema=schema)
            checksum = _batch_checksum(batch, place)
            writer.write_batch(batch, custom_metadata={_CHECKSUM_KEY: checksum})


def _arrow_columns(batch: LargestLogits) -> list[Any]:
    import pyarrow as pa

    sums = [_checksum(LargestLogits(*row)) for row in zip(*batch, strict=True)]
    # A list array is made of the values of all its rows, one after the other.
    lists = [
        pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(column).reshape(-1)), column[0].size
        )
        for column in batch
    ]
    return [*lists, pa.array(sums, pa.uint32())]


def _in_batches(pieces: Iterable[LargestLogits]) -> Iterator[LargestLogits]:
    """Yield the rows of pieces in batches of _BATCH_ROWS; the last may be shorter."""
    waiting: list[LargestLogits] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece.logits)
        while count >= _BATCH_ROWS:
            joined = _join(waiting)
            yield joined.rows(slice(_BATCH_ROWS))
            waiting, count = [joined.rows(slice(_BATCH_ROWS, None))], count - _BATCH_ROWS
    if count:
        yield _join(waiting)


def _join(pieces: list[LargestLogits]) -> LargestLogits:
    return LargestLogits(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
