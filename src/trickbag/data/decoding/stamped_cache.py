"""A cache of what was read of files, so that a file that has not changed is read once only."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from trickbag.checksums import DamagedFile, checksum_text
from trickbag.errors import RunFailed, UserError
from trickbag.files import replacing
from trickbag.paths import RECORD, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["StampedCache", "decoder_versions", "folder_digest"]

R = TypeVar("R")

_HEAD = re.compile(rb'{"checksum": "([0-9a-f]{8})", ')
"""How a file begins; the checksum is that of all that follows."""


def folder_digest(root: str) -> str:
    """Return a hash of a folder's name, 16 hexadecimal digits, after which its cache is named."""
    return hashlib.blake2b(root.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def decoder_versions(*names: str) -> str:
    """Return the versions of packages that decode, as a text.

    Another decoder can find damage that this one has missed.
    """
    return ", ".join(f"{name} {_installed(name)}" for name in names)


class StampedCache(Generic[R]):
    """Results by (absolute path, size, modification time) of a file, in one JSON file.

    `from_plain` reads what `to_plain` returned, a list of JSON's values, and raises TypeError or
    ValueError for anything else. A cache that is damaged, or of another `version`, counts as empty;
    it is never an error. `damaged` tells whether it was.
    """

    def __init__(
        self,
        path: Path,
        version: str,
        from_plain: Callable[[Sequence[object]], R],
        to_plain: Callable[[R], list[Any]],
    ) -> None:
        self.path = path
        self.damaged = False
        self._version = version
        self._from_plain, self._to_plain = from_plain, to_plain
        self._changed = False
        self._entries: dict[str, tuple[int, int, R]] = {}
        try:
            self._entries = self._load()
        except (UserError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # All that damaged JSON, JSON of another shape, or what is no file can lead to.
            self.damaged = True

    def get(self, path: str, size: int, mtime_ns: int) -> R | None:
        """Return the result for a file, or None if it is unknown or the file has changed since."""
        entry = self._entries.get(path)
        return entry[2] if entry is not None and entry[:2] == (size, mtime_ns) else None

    def put(self, path: str, size: int, mtime_ns: int, result: R) -> None:
        """Keep the result for a file."""
        self._entries[path] = (size, mtime_ns, result)
        self._changed = True

    def save(self) -> str | None:
        """Write the file if there is anything new, atomically; return the reason if that failed.

        A failure is no error, because everything works without a cache.
        """
        if not self._changed:
            return None
        files = {
            path: [size, mtime, *self._to_plain(result)]
            for path, (size, mtime, result) in self._entries.items()
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as file:
                # As ASCII, whose escapes hold file names that are not UTF-8 too.
                body = json.dumps({"version": self._version, "files": files})[1:].encode()
                file.write(b'{"checksum": "%s", ' % checksum_text(zlib.crc32(body)).encode())
                file.write(body)
        except OSError as error:
            return f"cannot write {self.path.parent}: {error.strerror or error}"
        except RunFailed as error:
            return str(error)
        self._changed = False
        return None

    def _load(self) -> dict[str, tuple[int, int, R]]:
        """Read the file; raises many kinds of errors if it is damaged."""
        data = read_bytes(self.path, RECORD)
        if data is None:
            return {}
        head = _HEAD.match(data)
        if head is not None and head[1].decode() != checksum_text(zlib.crc32(data[head.end() :])):
            raise DamagedFile("its checksum does not match")
        stored = json.loads(data)
        # Files of the first version of a cache had none.
        if head is None and not stored["version"].startswith("1,"):
            raise DamagedFile("it has no checksum")
        if stored["version"] != self._version:
            return {}
        return {path: self._entry(*values) for path, values in stored["files"].items()}

    def _entry(self, size: object, mtime: object, *result: object) -> tuple[int, int, R]:
        """Check the types of a stored entry; raises TypeError."""
        if not (isinstance(size, int) and isinstance(mtime, int)):
            raise TypeError("not an entry of a cache")
        return size, mtime, self._from_plain(result)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
