"""What other networks said of a part's images, asked once: their largest logits, in an Arrow file mapped into memory.

Shapes: N images of a batch, M networks, K classes, k logits that are kept of each answer.
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

from trickbag.errors import RunFailed, UserError
from trickbag.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["Kept", "TeacherLogits", "keep_largest", "restore", "write_teacher_logits"]

SCHEMA = 2
"""Version of the file: its columns, and what its metadata say."""

_KEY = b"trickbag"
_BLOCK = 4096
"""Rows of a record batch; all but the last have as many, so that a row is found by division."""

_MOST = 60_000.0
"""How far a kept logit is from 0 at most: the range of float16 ends at 65,504."""


class Kept(NamedTuple):
    """The largest logits of answers, the largest of all taken as 0, and the probability of all the others together.

    With several labels an image each class has a probability of its own: the logits are as they
    are, and `rest` is the sum of the others' probabilities. logits: (N, M, k) float16, falling.
    classes: (N, M, k) int32. rest: (N, M) float32, in [0, 1), or [0, K - k].
    """

    logits: NDArray[np.float16]
    classes: NDArray[np.int32]
    rest: NDArray[np.float32]

    def rows(self, which: slice) -> Kept:
        """Return some of the rows."""
        return Kept(self.logits[which], self.classes[which], self.rest[which])


def keep_largest(logits_NMK: NDArray[np.floating[Any]], top: int, *, several: bool = False) -> Kept:
    """Keep the `top` largest logits of each answer, all of them where there are no more; `several`
    labels an image?"""
    values = logits_NMK.astype(np.float64)
    if not several:
        values -= values.max(axis=-1, keepdims=True)
    order = np.argsort(-values, axis=-1, kind="stable")
    falling = np.take_along_axis(values, order, axis=-1)
    # The others are added up for themselves: a temperature brings back what is nothing beside 1.
    if several:
        rest = np.exp(-np.logaddexp(0, -falling[..., top:])).sum(
            axis=-1
        )  # sigmoid, which does not overflow
    else:
        shares = np.exp(falling)
        rest = shares[..., top:].sum(axis=-1) / shares.sum(axis=-1)
    logits = falling[..., :top].clip(-_MOST, _MOST).astype(np.float16)
    return Kept(logits, order[..., :top].astype(np.int32), rest.astype(np.float32))


def restore(kept: Kept, num_classes: int, *, several: bool = False) -> NDArray[np.float32]:
    """Return logits (N, M, K) float32 whose softmax is that of the answers, as far as they were kept.

    For `several` labels an image it is their sigmoid. The probability of all classes that were not
    kept is spread evenly over these: each has the same logit, at any temperature. Where all were
    kept nothing but the rounding to float16 is lost.
    """
    logits = kept.logits.astype(np.float32)
    top = logits.shape[-1]
    whole = np.empty((*logits.shape[:-1], num_classes), np.float32)
    if top < num_classes:
        rest = kept.rest.astype(np.float64)
        with np.errstate(divide="ignore"):  # no rest at all is a logit of minus infinity
            if several:
                each = rest / (num_classes - top)
                even = np.log(each) - np.log1p(-each)
            else:
                even = np.log(
                    rest
                    / (1 - rest)
                    * np.exp(logits.astype(np.float64)).sum(axis=-1)
                    / (num_classes - top)
                )
        whole[...] = even[..., None]
    np.put_along_axis(whole, kept.classes.astype(np.int64), logits, axis=-1)
    return whole


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherLogits:
    """The answers of a file; a process that receives it maps the file itself.

    `about` is what the file says of itself: the networks, what they were shown, the data and the
    classes. `images` were asked about in each of `views` views, and have `several` labels each or
    one. `stamp` tells a file from another one that has taken its place.
    """

    path: Path
    about: Mapping[str, Any]
    images: int
    views: int
    num_classes: int
    several: bool
    stamp: tuple[int, int]

    @classmethod
    def open(cls, path: Path) -> TeacherLogits:
        """Open what `write_teacher_logits` wrote; UserError for a file that cannot be read, is
        damaged or of another kind."""
        try:
            stamp = _stamp(path)
            about, blocks = _mapped(path, stamp)
            images, views, num_classes = (
                int(about[name]) for name in ("images", "views", "num_classes")
            )
            if about["schema"] != SCHEMA:
                raise ValueError("it is of another version")
            several = bool(about["several_labels"])
            if sum(len(block.sums) for block in blocks) != images * views:
                raise ValueError("rows are missing")
            if num_classes != len(about["classes"]) or int(about["networks"]) != len(
                about["teachers"]
            ):
                raise ValueError("it does not say the same everywhere of its classes and teachers")
        except OSError as error:
            raise UserError(
                f"cannot read the teacher's answers {path}: {error.strerror or error}"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{path} holds no answers of a teacher, or is damaged: {reason}; remove it to have "
                f"it made anew"
            ) from error
        sizes = {"images": images, "views": views, "num_classes": num_classes}
        return cls(path=path, about=about, **sizes, several=several, stamp=stamp)

    def logits(self, rows: NDArray[np.int64], epoch: int = 0) -> NDArray[np.float32]:
        """Return the logits (N, M, K) of images, by their places in the part, in an epoch's view, from 0.

        Raises RunFailed where the file has been damaged.
        """
        _, blocks = _mapped(self.path, self.stamp)
        first = epoch % self.views * self.images
        found = [blocks[place // _BLOCK].row(place % _BLOCK) for place in (rows + first).tolist()]
        if None in found:
            raise RunFailed(f"{self.path} is damaged: remove it, and the teacher is asked again")
        kept = Kept(
            *(
                np.stack(column)
                for column in zip(*(one for one in found if one is not None), strict=True)
            )
        )
        return restore(kept, self.num_classes, several=self.several)


class _Block(NamedTuple):
    """The columns of a record batch, as views of the mapped file."""

    logits: NDArray[np.float16]
    classes: NDArray[np.int32]
    rest: NDArray[np.float32]
    sums: NDArray[np.uint32]

    def row(self, i: int) -> Kept | None:
        """Return a row, None where its checksum says that it is damaged."""
        kept = Kept(self.logits[i], self.classes[i], self.rest[i])
        return kept if _checksum(kept) == self.sums[i] else None


def _checksum(kept: Kept) -> int:
    value = 0
    for column in kept:
        value = zlib.crc32(column.tobytes(), value)
    return value


@functools.lru_cache(maxsize=4)
def _mapped(path: Path, stamp: tuple[int, int]) -> tuple[dict[str, Any], list[_Block]]:
    import pyarrow as pa

    if _stamp(path) != stamp:
        raise RunFailed(f"{path} was replaced while a run read it: start that again")
    with _arrow_errors(), pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        about = json.loads((reader.schema.metadata or {}).get(_KEY, b"{}"))
        networks, top = int(about["networks"]), int(about["kept"])
        blocks = []
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            batch.validate()  # a damaged length would lead beyond the file
            columns = [
                (
                    column.flatten() if pa.types.is_fixed_size_list(column.type) else column
                ).to_numpy()
                for column in batch.columns
            ]
            logits, classes = (column.reshape(-1, networks, top) for column in columns[:2])
            blocks.append(_Block(logits, classes, columns[2].reshape(-1, networks), columns[3]))
            if len({len(column) for column in blocks[-1]}) != 1:
                raise ValueError("its columns are of different lengths")
            if i + 1 < reader.num_record_batches and len(blocks[-1].sums) != _BLOCK:
                raise ValueError("its parts are of other lengths")
        return about, blocks


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@contextlib.contextmanager
def _arrow_errors() -> Iterator[None]:
    """Let every way in which Arrow refuses a file be a ValueError."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def write_teacher_logits(
    path: Path,
    about: Mapping[str, Any],
    teacher_logits: Iterable[NDArray[np.floating[Any]]],
    *,
    images: int,
    views: int,
) -> None:
    """Write answers to an Arrow IPC file, whole or not at all.

    `answers` are logits (N, M, K) of some images after the other, `images` of the first view in the
    part's order, then of the next; the `top` largest that `about` asks for are kept, of one label
    an image or of `several_labels`. Raises RunFailed where the file cannot be written.
    """
    import pyarrow as pa

    networks, num_classes = len(about["teachers"]), len(about["classes"])
    kept = min(int(about["top"]), num_classes)
    sizes = {
        "images": images,
        "views": views,
        "networks": networks,
        "num_classes": num_classes,
        "kept": kept,
    }
    keep = functools.partial(keep_largest, top=kept, several=about["several_labels"])
    text = json.dumps({"schema": SCHEMA, **about, **sizes}, sort_keys=True)
    schema = pa.schema(
        [
            ("logits", pa.list_(pa.float16(), networks * kept)),
            ("classes", pa.list_(pa.int32(), networks * kept)),
            ("rest", pa.list_(pa.float32(), networks)),
            ("checksum", pa.uint32()),
        ],
        metadata={_KEY: text.encode()},
    )
    with replacing(path) as file, pa.ipc.new_file(file, schema) as writer:
        for block in _blocks(map(keep, teacher_logits)):
            sums = [_checksum(Kept(*row)) for row in zip(*block, strict=True)]
            columns = [
                pa.FixedSizeListArray.from_arrays(
                    pa.array(np.ascontiguousarray(column).reshape(-1)), width
                )
                for column, width in zip(
                    block, (networks * kept, networks * kept, networks), strict=True
                )
            ]
            writer.write_batch(
                pa.record_batch([*columns, pa.array(sums, pa.uint32())], schema=schema)
            )


def _blocks(pieces: Iterable[Kept]) -> Iterable[Kept]:
    """Give the rows of pieces in blocks of _BLOCK; the last may be shorter."""
    waiting: list[Kept] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece.logits)
        while count >= _BLOCK:
            joined = _join(waiting)
            yield joined.rows(slice(_BLOCK))
            waiting, count = [joined.rows(slice(_BLOCK, None))], count - _BLOCK
    if count:
        yield _join(waiting)


def _join(pieces: list[Kept]) -> Kept:
    return Kept(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
