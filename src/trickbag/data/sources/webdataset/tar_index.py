"""What lies where in a tar file: its index, by which every entry is read at random."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Entry", "TarIndex", "index_of"]

_BLOCK = 512

MAX_TEXT_BYTES = 1 << 16
"""The most bytes of an entry whose content an index keeps."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Entry(NamedTuple):
    """A regular file in a tar file: its name, where its bytes begin, and their number.

    text: its content, where an index keeps it.
    """

    name: str
    start: int
    size: int
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class TarIndex:
    """The entries of a tar file, in their order.

    other: the names of what is no regular file and no folder, such as links. cut: the names of
    entries that the end of the file cuts off. problem: why entries may be missing, None if the tar
    file is complete.
    """

    entries: tuple[Entry, ...]
    other: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    problem: str | None = None


def index_of(file: BinaryIO, keeps: Callable[[str], bool]) -> TarIndex:
    """Read the headers of a tar file; keep the content of small entries whose name it `keeps`.

    A tar file that is damaged or cut gives the entries in front of the damage.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(_BLOCK)
    if problem := _no_tar(start):
        return TarIndex(entries=(), problem=problem)
    file.seek(0)
    entries: list[Entry] = []
    other: list[str] = []
    cut: list[str] = []
    problem = None
    try:
        # Never compressed: there would be no access at random.
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                # Python before 3.13.6 follows a negative size back, for ever.
                if info.size < 0 or archive.offset < info.offset_data:
                    problem = f"damaged at byte {info.offset:,}: an entry of negative size"
                    break
                if info.isdir():
                    continue
                name = info.name.removeprefix("./")
                if not info.isreg() or info.issparse():
                    other.append(name)
                elif info.offset_data + info.size > size:
                    cut.append(name)
                else:
                    text = _text(file, info) if keeps(name) else None
                    entries.append(Entry(name, info.offset_data, info.size, text))
            problem = problem or _end_problem(file, archive.offset, size)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        # Damaged headers lead to almost any error.
        problem = str(error) or type(error).__name__
    return TarIndex(entries=tuple(entries), other=tuple(other), cut=tuple(cut), problem=problem)


def _no_tar(start: bytes) -> str | None:
    if not start:
        return "empty file"
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            return f"compressed with {name}; unpack it: entries cannot be read at random"
    return None


def _text(file: BinaryIO, info: tarfile.TarInfo) -> str | None:
    if info.size > MAX_TEXT_BYTES:
        return None
    file.seek(info.offset_data)
    # Bytes that are no UTF-8 are kept as they are, as in the names of files.
    return file.read(info.size).decode("utf-8", "surrogateescape")


def _end_problem(file: BinaryIO, offset: int, size: int) -> str | None:
    """Return what is wrong where the entries end; None for the blocks of zeros of a complete file.

    The library takes a damaged header for the end.
    """
    if offset > size:
        return "cut off within an entry"
    file.seek(offset)
    block = file.read(_BLOCK)
    if not block:
        return "cut off: the blocks that end a tar file are missing"
    if len(block) < _BLOCK:
        return "cut off within a header"
    if any(block):
        return f"damaged at byte {offset:,}: no header of an entry"
    while block := file.read(1 << 20):
        if any(block):
            return f"goes on behind its end at byte {offset:,}: several tar files in one"
    return None
