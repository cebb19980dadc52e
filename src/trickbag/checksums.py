"""Checksums of the files that the package writes and reads back.

The checksum is CRC-32. It notices every single flipped bit and every damage that lies within 32
bits; other damage escapes it once in 4,000 million times. It protects from damage, not from someone
who means to deceive and can compute it too.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from trickbag.paths import MAPPED, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DamagedFile", "checksum_text", "has_seal", "sealed"]

_SEAL = re.compile(rb"\ntrickbag crc32 ([0-9a-f]{8})\n")
_SEAL_BYTES = len(b"\ntrickbag crc32 01234567\n")
_BLOCK_BYTES = 1 << 20


class DamagedFile(ValueError):
    """Report a file whose bytes are not those that were written."""


class _SummedFile:
    """A file that is written from its beginning to its end, and sums up what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sum = 0

    def write(self, data: bytes) -> int:
        self.sum = zlib.crc32(data, self.sum)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


@contextlib.contextmanager
def sealed(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield what to write to in place of `file`; end it with a seal, the checksum of its content.

    The seal lies behind the content, where the readers of zip archives and of numpy's files pass
    over it.
    """
    summed = _SummedFile(file)
    # It has what torch and numpy write with.
    yield cast("BinaryIO", summed)
    file.write(b"\ntrickbag crc32 %s\n" % checksum_text(summed.sum).encode())


def has_seal(path: Path) -> bool:
    """Compare a file with its seal, in pieces; return whether it has one.

    Raises DamagedFile if the content is not what was sealed, OSError, and UserError for what is no
    regular file.
    """
    with open_regular(path, MAPPED) as file:
        left = max(0, file.seek(0, 2) - _SEAL_BYTES)
        file.seek(0)
        total = 0
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            total = zlib.crc32(block, total)
            left -= len(block)
        return _fits(file.read(), total)


def _fits(seal: bytes, total: int) -> bool:
    match = _SEAL.fullmatch(seal)
    if match is None:
        return False
    if match[1].decode() != checksum_text(total):
        raise DamagedFile("its checksum does not match")
    return True


def checksum_text(total: int) -> str:
    """Write a sum of `zlib.crc32` in 8 hexadecimal digits."""
    return f"{total:08x}"
