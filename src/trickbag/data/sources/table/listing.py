"""Folders as listed, and the folders within them."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.decoding.decode import EXTENSIONS
from trickbag.data.sources.part_names import part_of
from trickbag.data.sources.table.spellings import FileNames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = [
    "FoldersWithin",
    "ListedFolder",
    "divided",
    "folders_within",
    "in_part",
    "joined",
    "listed",
    "parted",
]

_DEEPEST, _MOST_FOLDERS, _MOST_FILES = 5, 20_000, 5_000_000
"""How far images are looked for that do not lie where they were to be: levels, folders, files."""


@dataclass
class ListedFolder:
    """The files of a folder with their sizes in bytes, and the names of the folders in it.

    `by_stem` are the images by their names without extension. `links` are the files that are links.
    """

    exists: bool = False
    sizes: dict[str, int] = field(default_factory=dict)
    by_stem: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    links: set[str] = field(default_factory=set)
    folders: list[str] = field(default_factory=list)

    @cached_property
    def names(self) -> FileNames:
        """The images by the names that a table may give them."""
        return FileNames(file for files in self.by_stem.values() for file in files)


def divided(value: str) -> tuple[str, str]:
    """Return the folder and the name in a value of a table."""
    # Tables written on Windows have backslashes.
    value = value.replace("\\", "/")
    if "/" in value or value in (".", ".."):
        return parted(os.path.normpath(value))
    return "", value


def joined(folder: str, name: str) -> str:
    """Return the name of a file in a folder."""
    # For a row each; `os.path.join` takes five times as long.
    return f"{folder}/{name}" if folder and folder != "/" else f"{folder}{name}"


def parted(name: str) -> tuple[str, str]:
    """Return the folder and the file in a name that `joined` returned."""
    folder, _, file = name.rpartition("/")
    return folder or ("/" if name.startswith("/") else ""), file


def listed(path: Path) -> ListedFolder:
    """List a folder; one that does not exist has no files."""
    folder = ListedFolder()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_file():
                    folder.sizes[entry.name] = entry.stat().st_size
                    if entry.is_symlink():
                        folder.links.add(entry.name)
                elif not entry.name.startswith((".", "__MACOSX")) and entry.is_dir():
                    folder.folders.append(entry.name)
    except (OSError, ValueError):
        # A value names a folder that does not exist: its rows are left out and named.
        return folder
    folder.exists = True
    for name in sorted(folder.sizes):
        stem, extension = os.path.splitext(name)
        if extension.lower() in EXTENSIONS and not name.startswith("."):
            folder.by_stem[stem].append(name)
    return folder


def in_part(names: Sequence[str], part: str) -> list[str]:
    """Return the names with a folder of the name of a part; all where there is none."""
    inside = [name for name in names if any(part_of(word) == part for word in name.split("/")[:-1])]
    return inside or list(names)


class FoldersWithin(NamedTuple):
    """The folders within others, level by level.

    at_home: those within the home, and the folders that the search began with. complete: whether
    there were not too many to search them all.
    """

    folders: tuple[str, ...]
    at_home: frozenset[str]
    complete: bool


def folders_within(
    base: Path,
    folders: Sequence[str],
    home: str | None,
    list_folder: Callable[[str], ListedFolder],
) -> FoldersWithin:
    """Find the folders within `folders` under `base`, each once; `home` is one of `folders`."""
    start = [folder for folder in folders if list_folder(folder).exists]
    seen = {_identity(base / folder) for folder in start}
    homes = set(start)
    within: list[str] = []
    level, files = start, 0
    for _ in range(_DEEPEST):
        inner = [
            (above, joined(above, name))
            for above in level
            for name in sorted(list_folder(above).folders)
        ]
        level = []
        for above, folder in inner:
            identity = _identity(base / folder)
            if identity in seen:
                continue
            files += len(list_folder(folder).sizes)
            if len(within) == _MOST_FOLDERS or files > _MOST_FILES:
                return FoldersWithin(tuple(within), frozenset(homes), complete=False)
            seen.add(identity)
            level.append(folder)
            within.append(folder)
            if above in homes and (above == home or above not in start):
                homes.add(folder)
    return FoldersWithin(tuple(within), frozenset(homes), complete=True)


def _identity(path: Path) -> tuple[int, int] | str:
    # Links can go in circles.
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return str(path)
    return status.st_dev, status.st_ino
