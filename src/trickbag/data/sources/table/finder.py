"""The image files that the values of a table name."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.data.decoding.decode import EXTENSIONS
from trickbag.data.sources.outside import is_beyond

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ImageFinder"]


@dataclass
class ImageFinder:
    """Finds the files that values of a table name, in `folders` under `base`.

    Each folder is listed once. `ambiguous` describes the first value that can mean two files. Files
    within `roots`, or within `base` where there are none, are not outside.
    """

    base: Path
    folders: tuple[str, ...]
    ambiguous: str | None = None
    roots: tuple[Path, ...] = ()
    _sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    _by_stem: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _links: dict[str, set[str]] = field(default_factory=dict)
    _beyond: dict[str, bool] = field(default_factory=dict)

    def find(self, value: str) -> str | None:
        """Return the name, relative to `base`, of the image that a value means, or None."""
        for folder in self.folders:
            # Tables written on Windows have backslashes.
            path = os.path.normpath(os.path.join(folder, value.replace("\\", "/")))
            inner, name = os.path.split(path)
            files = self._list(inner)
            if name in files and _extension(name) in EXTENSIONS:
                return os.path.join(inner, name)
            if name in self._by_stem[inner]:
                first, *others = self._by_stem[inner][name]
                if others and self.ambiguous is None:
                    self.ambiguous = (
                        f"{name!r} can be {first} or {others[0]}; the first is used, "
                        "as for all like it"
                    )
                return os.path.join(inner, first)
        return None

    def size(self, name: str) -> int:
        """Return the size in bytes of a file that `find` returned."""
        inner, file = os.path.split(name)
        return self._list(inner)[file]

    def is_outside(self, name: str) -> bool:
        """Return whether a file that `find` returned lies outside of all roots, links resolved."""
        inner, file = os.path.split(name)
        self._list(inner)
        if self._is_beyond(inner):
            return True
        # Only links can lead out of a folder that lies within; few files are links.
        return file in self._links[inner] and self._leads_out(name)

    def _is_beyond(self, inner: str) -> bool:
        if inner not in self._beyond:
            self._beyond[inner] = self._leads_out(inner)
        return self._beyond[inner]

    def _leads_out(self, name: str) -> bool:
        return all(is_beyond(self.base / name, root) for root in self.roots or (self.base,))

    def _list(self, inner: str) -> dict[str, int]:
        if inner not in self._sizes:
            sizes: dict[str, int] = {}
            links = self._links[inner] = set()
            try:
                with os.scandir(self.base / inner) as entries:
                    for entry in entries:
                        if entry.is_file():
                            sizes[entry.name] = entry.stat().st_size
                            if entry.is_symlink():
                                links.add(entry.name)
            except (OSError, ValueError):
                # A value names a folder that does not exist: its rows are left out and named.
                pass
            self._sizes[inner] = sizes
            stems = self._by_stem[inner] = defaultdict(list)
            for name in sorted(sizes):
                if _extension(name) in EXTENSIONS and not name.startswith("."):
                    stems[os.path.splitext(name)[0]].append(name)
        return self._sizes[inner]


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower()
