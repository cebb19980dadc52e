"""What the decode check found, kept so that a file that has not changed is not decoded for it
again."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from trickbag.errors import RunFailed
from trickbag.files import replacing

__all__ = ["CheckCache", "Checked", "cache_folder"]

_FORM = 1


class Checked(NamedTuple):
    """What a strict decode of a file found: its format and pixels, or the reason why it does not
    decode."""

    reason: str | None
    format: str
    width: int
    height: int


def cache_folder() -> Path:
    """Return the user's cache folder for trickbag: under XDG_CACHE_HOME, else ~/.cache; it may not
    exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "trickbag"


class CheckCache:
    """Findings by (absolute path, size, time of change), in one file for each root folder of a source.

    A cache that is damaged, or was written by other versions of the decoders, is empty; it is never
    an error.
    """

    def __init__(self, folder: Path, root: str) -> None:
        name = hashlib.blake2b(root.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self.path = folder / "checks" / f"{name}.json"
        self._found = self._load()
        self._changed = False

    def get(self, path: str, size: int, mtime_ns: int) -> Checked | None:
        """Return what was found for a file, or None where it is unknown or has changed since."""
        entry = self._found.get(path)
        return entry[2] if entry is not None and entry[:2] == (size, mtime_ns) else None

    def put(self, path: str, size: int, mtime_ns: int, found: Checked) -> None:
        """Keep what was found for a file."""
        self._found[path] = (size, mtime_ns, found)
        self._changed = True

    def save(self) -> str | None:
        """Write what is new, whole or not at all; return why that failed, or None. The check works
        without it."""
        if not self._changed:
            return None
        files = {path: [size, mtime, *found] for path, (size, mtime, found) in self._found.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as file:
                file.write(json.dumps({"version": _version(), "files": files}).encode())
        except OSError as error:
            return f"cannot write {self.path.parent}: {error.strerror or error}"
        except RunFailed as error:
            return str(error)
        self._changed = False
        return None

    def _load(self) -> dict[str, tuple[int, int, Checked]]:
        try:
            stored = json.loads(self.path.read_bytes())
            if stored["version"] != _version():
                return {}
            return {path: _entry(*values) for path, values in stored["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}


def _entry(
    size: object, mtime: object, reason: object, kind: object, width: object, height: object
) -> tuple[int, int, Checked]:
    """Check the types of a stored entry; raises TypeError."""
    if (
        isinstance(size, int)
        and isinstance(mtime, int)
        and (reason is None or isinstance(reason, str))
        and isinstance(kind, str)
        and isinstance(width, int)
        and isinstance(height, int)
    ):
        return size, mtime, Checked(reason, kind, width, height)
    raise TypeError("not an entry of the check's cache")


def _version() -> str:
    return f"{_FORM}, simplejpeg {version('simplejpeg')}, Pillow {version('pillow')}"
