"""A cache of decode results, so that a file that has not changed is checked once only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from dataclasses import KW_ONLY, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.checksums import DamagedFile, checksum_text
from trickbag.data.decoding.limits import MAX_PIXELS
from trickbag.errors import RunFailed, UserError
from trickbag.files import replacing
from trickbag.paths import RECORD, read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CheckCache", "DecodeResult", "cache_folder"]

_SCHEMA = 4
"""Version of the file; those of version 1 have no checksum, those of version 2 no digests.

Those of version 3 have no values that were stored.
"""

_HEAD = re.compile(rb'{"checksum": "([0-9a-f]{8})", ')
"""How a file begins; the checksum is that of all that follows."""


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """What the strict decode of a file gave: what the image is, or the reason why it failed.

    reason: None for a good image. width, height: pixels of the upright image. digest: the BLAKE2b
    hash of the file's bytes, 16 hexadecimal digits; empty for a file that was not read. frames: the
    pages or frames of the file. pixel_type: the type of the stored values, such as `uint16`. bands:
    the values of a pixel; unused_bands: those that are neither colour nor transparency. low, high:
    the smallest and the largest stored value; inner_low, inner_high: those without the lowest and
    the highest thousandth; of uint8 they are not computed. perceptual: a hash of what the image
    looks like; empty where it has none.
    """

    reason: str | None
    format: str
    width: int
    height: int
    _: KW_ONLY
    digest: str = ""
    frames: int = 1
    pixel_type: str = "uint8"
    bands: int = 3
    unused_bands: int = 0
    low: float = 0.0
    high: float = 255.0
    inner_low: float = 0.0
    inner_high: float = 255.0
    perceptual: str = ""

    @classmethod
    def from_plain(cls, values: Sequence[object]) -> DecodeResult:
        """Read what `to_plain` returned; TypeError for anything else."""
        if len(values) != len(_TYPES) or not all(map(isinstance, values, _TYPES.values())):
            raise TypeError("not an entry of the check's cache")
        fields: dict[str, Any] = dict(zip(_TYPES, values, strict=True))
        return cls(**fields)

    def to_plain(self) -> list[str | int | float | None]:
        """Return the values of all fields, in their order."""
        return [getattr(self, name) for name in _TYPES]


_TYPES: dict[str, Any] = {
    "reason": str | None,
    "format": str,
    "width": int,
    "height": int,
    "digest": str,
    "frames": int,
    "pixel_type": str,
    "bands": int,
    "unused_bands": int,
    "low": float,
    "high": float,
    "inner_low": float,
    "inner_high": float,
    "perceptual": str,
}
"""The fields of a `DecodeResult` in the order in which the cache stores them."""


def cache_folder() -> Path:
    """Return the user's cache folder for trickbag: under XDG_CACHE_HOME, else in ~/.cache.

    It may not exist yet.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "trickbag"


class CheckCache:
    """Decode results by (absolute path, size, modification time), one JSON file per source folder.

    A cache that is damaged, or was written with other versions of the decoders or another limit of
    pixels, counts as empty; it is never an error. `damaged` tells whether it was.
    """

    def __init__(self, folder: Path, root: str, max_pixels: int = MAX_PIXELS) -> None:
        name = hashlib.blake2b(root.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self.path = folder / "checks" / f"{name}.json"
        self.damaged = False
        self._version = _version(max_pixels)
        self._changed = False
        self._entries: dict[str, tuple[int, int, DecodeResult]] = {}
        try:
            self._entries = self._load()
        except (UserError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # All that damaged JSON, JSON of another shape, or what is no file can lead to.
            self.damaged = True

    def get(self, path: str, size: int, mtime_ns: int) -> DecodeResult | None:
        """Return the result for a file, or None if it is unknown or the file has changed since."""
        entry = self._entries.get(path)
        return entry[2] if entry is not None and entry[:2] == (size, mtime_ns) else None

    def put(self, path: str, size: int, mtime_ns: int, result: DecodeResult) -> None:
        """Keep the result for a file."""
        self._entries[path] = (size, mtime_ns, result)
        self._changed = True

    def save(self) -> str | None:
        """Write the file if there is anything new, atomically; return the reason if that failed.

        A failure is no error, because the check works without its cache.
        """
        if not self._changed:
            return None
        files = {
            path: [size, mtime, *result.to_plain()]
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

    def _load(self) -> dict[str, tuple[int, int, DecodeResult]]:
        """Read the file; raises many kinds of errors if it is damaged."""
        data = read_bytes(self.path, RECORD)
        if data is None:
            return {}
        head = _HEAD.match(data)
        if head is not None and head[1].decode() != checksum_text(zlib.crc32(data[head.end() :])):
            raise DamagedFile("its checksum does not match")
        stored = json.loads(data)
        if head is None and not stored["version"].startswith("1,"):
            raise DamagedFile("it has no checksum")
        if stored["version"] != self._version:
            return {}
        return {path: _entry(*values) for path, values in stored["files"].items()}


def _entry(size: object, mtime: object, *result: object) -> tuple[int, int, DecodeResult]:
    """Check the types of a stored entry; raises TypeError."""
    if not (isinstance(size, int) and isinstance(mtime, int)):
        raise TypeError("not an entry of the check's cache")
    return size, mtime, DecodeResult.from_plain(result)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _version(max_pixels: int) -> str:
    # Another decoder can find damage that this one has missed, so its version is part of the key.
    # An extra can be installed later.
    names = ("simplejpeg", "pillow", "pillow-heif")
    decoders = ", ".join(f"{name} {_installed(name)}" for name in names)
    return f"{_SCHEMA}, {decoders}, {max_pixels} pixels"
