"""Indexes of tar files, kept in a cache folder, so that a shard is gone through once."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from trickbag.checksums import has_seal, sealed
from trickbag.data.sources.webdataset.tar_index import Entry, TarIndex
from trickbag.errors import RunFailed, UserError
from trickbag.files import replacing
from trickbag.paths import RECORD, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Stamp

__all__ = ["cached_index", "keep_index"]

_SCHEMA = 1


def _file(cache_dir: Path, stamp: Stamp) -> Path:
    name = hashlib.blake2b(stamp.place.encode("utf-8", "surrogateescape"), digest_size=8)
    return cache_dir / "shards" / f"{name.hexdigest()}.json"


def _head(stamp: Stamp, texts: tuple[str, ...]) -> list[Any]:
    """Return what an index is of: the shard, and the kinds of entries whose text it keeps."""
    return [_SCHEMA, *stamp, list(texts)]


def cached_index(
    cache_dir: Path, stamp: Stamp, texts: tuple[str, ...]
) -> tuple[TarIndex | None, str | None]:
    """Return the index that is kept of a shard, and what is wrong with the file of one.

    It is None if there is none, or it is of a shard that has changed.
    """
    path = _file(cache_dir, stamp)
    try:
        content = read_bytes(path, RECORD)
        if content is None:
            return None, None
        if not has_seal(path):
            return None, f"{path} has no checksum"
        # The seal stands behind the content.
        data, _ = json.JSONDecoder().raw_decode(content.decode("ascii"))
        if data["head"] != _head(stamp, texts):
            return None, None
        return _index(data), None
    except (OSError, ValueError, KeyError, TypeError, UserError, RecursionError) as error:
        # All that damaged JSON, or JSON of another shape, can lead to.
        return None, f"{path} is damaged ({error})"


def _index(data: Any) -> TarIndex:
    entries = []
    for name, start, size, text in data["entries"]:
        if not (isinstance(start, int) and isinstance(size, int) and isinstance(name, str)):
            raise TypeError("not an entry of an index")
        entries.append(Entry(name, start, size, text))
    return TarIndex(
        entries=tuple(entries),
        other=tuple(data["other"]),
        cut=tuple(data["cut"]),
        problem=data["problem"],
    )


def keep_index(
    cache_dir: Path, stamp: Stamp, texts: tuple[str, ...], index: TarIndex
) -> str | None:
    """Keep the index of a shard; return the reason if that failed, which is no error."""
    path = _file(cache_dir, stamp)
    data = {
        "head": _head(stamp, texts),
        "entries": index.entries,
        "other": index.other,
        "cut": index.cut,
        "problem": index.problem,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file, sealed(file) as summed:
            # As ASCII, whose escapes hold names that are not UTF-8 too.
            summed.write(json.dumps(data, separators=(",", ":")).encode("ascii"))
    except OSError as error:
        return f"cannot write {path.parent}: {error.strerror or error}"
    except RunFailed as error:
        return str(error)
    return None
