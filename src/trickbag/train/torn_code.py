"""Compiled code on disk that was left torn by a process that was killed while it compiled.

Compiler and linker write the files of torch's compile cache where they stay. Such a file counts as
there, and each run with its graph fails until it is removed.
"""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remove_torn_code"]

_ELF = b"\x7fELF\x02\x01"
"""The first bytes of an object or library of Linux: 64 bits, the smallest byte first."""


def remove_torn_code(folder: Path) -> list[str]:
    """Remove the torn objects and libraries of a compile cache of torch; return their names.

    While another process compiles nothing is removed: its files are torn until they are written.
    """
    if sys.platform != "linux" or not folder.is_dir():
        return []
    torn = [path for path in sorted(folder.rglob("*.*")) if _is_torn(path)]
    if not torn or _is_in_use(folder / "locks"):
        return []
    removed = []
    for path in torn:
        # Else it was written to its end in the meantime.
        if _is_torn(path):
            with suppress(OSError):  # a cache that cannot be written stays as it is
                path.unlink()
                removed.append(path.name)
    return removed


def _is_torn(path: Path) -> bool:
    """Tell whether a file is an object or a library without its end."""
    if path.suffix not in (".so", ".o") or not path.is_file():
        return False
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)  # what is loaded, of a library, is listed behind the head
    except OSError:  # gone in the meantime, or not to be read
        return False
    if len(head) < 64 or not head.startswith(_ELF):
        return True
    # The table of sections, which a compiler writes at the end, and the parts that are loaded.
    segments, sections = struct.unpack_from("<QQ", head, 0x20)
    segment_bytes, segment_count, section_bytes, section_count = struct.unpack_from(
        "<HHHH", head, 0x36
    )
    ends = [sections + section_bytes * section_count]
    for place in range(segment_count):
        start = segments + segment_bytes * place
        if start + 40 <= len(head):
            offset, *_, length = struct.unpack_from("<QQQQ", head, start + 8)
            ends.append(offset + length)
    return bool(sections == 0 or size < max(ends))


def _is_in_use(locks: Path) -> bool:
    """Tell whether a process holds one of torch's locks, which end with their process."""
    import fcntl

    for path in locks.glob("*.lock"):
        if not path.is_file():
            continue
        try:
            with path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or of somebody else
            return True
    return False
