"""Which shards a URL names: a folder, a glob, or braces, `train-{000..012}.tar`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from trickbag.data.passed_over import PassedOverFiles, Reason, ignored_path, reason_of
from trickbag.data.source import PassedOver, Stamp
from trickbag.data.sources.part_names import part_name
from trickbag.data.sources.webdataset.storage import Storage, storage_of
from trickbag.errors import UserError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Shard", "Shards", "braces_expanded", "find_shards", "parts_of_shards"]

_MOST_SHARDS = 1_000_000

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class Shard:
    """A tar file: its name relative to the source, and where it lies."""

    name: str
    stamp: Stamp


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards that a URL names, ordered by name; `base` is what their names are relative to."""

    storage: Storage
    base: str
    shards: tuple[Shard, ...]
    passed_over: tuple[PassedOver, ...] = ()


def find_shards(spec: str, url: str) -> Shards:
    """List the shards of a folder, a glob, or braces.

    A folder means all tar files in it and in the folders within. Raises UserError if there is none,
    one that braces or a name mean is missing, or the place cannot be reached.
    """
    if not url.strip():
        raise UserError(f"data source {spec!r} names nothing", "wds:FOLDER or wds:URL")
    storage, path = storage_of(spec, url)
    try:
        return _find(spec, storage, path)
    except UserError:
        raise
    except Exception as error:
        # The errors of a protocol's own library are of many kinds.
        raise UserError(
            f"data source {spec!r} cannot be read: {first_line(error)}", "look whether it is there"
        ) from None


def _find(spec: str, storage: Storage, path: str) -> Shards:
    passed_over = PassedOverFiles()
    # A name with brackets is a file before it is a pattern.
    if storage.is_folder(path):
        base, files = path, storage.inner_files(path)
        tars = [file for file in files if _is_shard(_relative(file, base))]
        for file in set(files) - set(tars):
            passed_over.add(_reason(_relative(file, base)), [_relative(file, base)])
    elif storage.stamp(path) is not None:
        base, tars = os.path.dirname(path), [path]
    else:
        patterns = braces_expanded(path, spec)
        tars = [file for pattern in patterns for file in _matches(storage, pattern)]
        fixed = re.split(r"[*?\[{]", path, maxsplit=1)[0]
        base = os.path.dirname(fixed)
    stamps = {file: storage.stamp(file) for file in sorted(set(tars))}
    missing = [file for file, stamp in stamps.items() if stamp is None]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"data source {spec!r}: there is no shard {missing[0]}{more}")
    shards = tuple(Shard(_relative(file, base), stamp) for file, stamp in stamps.items() if stamp)
    if not shards:
        raise UserError(
            f"data source {spec!r} has no shard", "a shard is a .tar file; is the pattern right?"
        )
    return Shards(storage=storage, base=base, shards=shards, passed_over=passed_over.records())


def _matches(storage: Storage, pattern: str) -> Sequence[str]:
    return storage.matches(pattern) if re.search(r"[*?\[]", pattern) else [pattern]


def _is_shard(name: str) -> bool:
    return name.lower().endswith(".tar") and ignored_path(name) is None


def _relative(path: str, base: str) -> str:
    return path[len(base) :].lstrip("/" + os.sep).replace(os.sep, "/")


def _reason(name: str) -> Reason:
    reason = ignored_path(name) or reason_of(name.rpartition("/")[2])
    # Nobody means what lies beside shards as an image of them.
    return Reason(reason.kind, reason.reason if reason.ignored else "no shard", ignored=True)


def braces_expanded(pattern: str, spec: str) -> list[str]:
    """Return the names that braces stand for: `{00..11}` or `{a,b}`, more than one pair too.

    Numbers are padded with zeros to the length of the first. Raises UserError for too many names.
    """
    pieces = _BRACES.split(pattern)
    # At odd places stands what was between braces.
    choices = [_choices(text, spec) if i % 2 else [text] for i, text in enumerate(pieces)]
    count = 1
    for names in choices:
        count *= len(names)
    if count > _MOST_SHARDS:
        raise UserError(f"data source {spec!r} names {count:,} shards, more than {_MOST_SHARDS:,}")
    return ["".join(names) for names in product(*choices)]


def _choices(text: str, spec: str) -> Sequence[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return text.split(",")
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise UserError(
            f"data source {spec!r}: {{{text}}} names no shard", "the smaller number goes first"
        )
    if last - first >= _MOST_SHARDS:
        raise UserError(
            f"data source {spec!r}: {{{text}}} names {last - first + 1:,} shards, "
            f"more than {_MOST_SHARDS:,}"
        )
    return [f"{number:0{len(match[1])}d}" for number in range(first, last + 1)]


def parts_of_shards(spec: str, shards: Shards) -> dict[str, list[Shard]]:
    """Return the shards of each part, by the words in their names, else in those of their folders.

    `train-000.tar`, `imagenet-train-000.tar` and `train/000.tar` are of the training part. All are,
    if no name says anything. Raises UserError if the names of some do and of others do not.
    """
    parts: dict[str, list[Shard]] = {}
    silent = []
    for shard in shards.shards:
        *folders, name = shard.name.split("/")
        words = [os.path.splitext(name)[0], *reversed(folders)]
        named = next((named for word in words if (named := part_name(word))), None)
        if named is None:
            silent.append(shard)
        else:
            parts.setdefault(named.part, []).append(shard)
    if not parts:
        return {"train": silent}
    if silent:
        raise UserError(
            f"data source {spec!r}: {silent[0].name} names no part, but others do: "
            f"{next(iter(parts.values()))[0].name}",
            "give the shards of the parts: wds:PATTERN --val-data wds:PATTERN",
        )
    return {part: parts[part] for part in ("train", "val", "test") if part in parts}
