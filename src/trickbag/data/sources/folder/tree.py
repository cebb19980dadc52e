"""A tree of folders, each listed once: its inner folders, its images, and what is neither.

Names of folders and files are relative to the root, with forward slashes; the root is "".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.passed_over import files_within, ignored, is_image
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.passed_over import PassedOverFiles

__all__ = ["Folder", "State", "Tree", "joined"]


class State(NamedTuple):
    """What changes when a file in a folder comes, goes or gets another name."""

    mtime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, path: str) -> State:
        """Return the state of a folder; raises OSError if there is none."""
        status = os.stat(path)
        return cls(status.st_mtime_ns, status.st_dev, status.st_ino)


class Folder(NamedTuple):
    """What lies right in a folder, each in the order of the names.

    folders: inner folders, without those that are ignored by name. images: files that are images by
    their extension, or by their first bytes where they have none; sizes: their bytes, -1 for a link
    to nothing. others: further files. ignored: files and folders that are ignored by name. links:
    those of folders and images that are links.
    """

    folders: tuple[str, ...]
    images: tuple[str, ...]
    sizes: NDArray[np.int64]
    others: tuple[str, ...]
    ignored: tuple[str, ...]
    links: frozenset[str]


def joined(folder: str, name: str) -> str:
    """Join the name of a folder and that of what lies in it."""
    return f"{folder}/{name}" if folder else name


@dataclass
class Tree:
    """Lists the folders under `root`; `known` are those listed before, with their state then.

    `listed` are the folders so far with their states, `scanned` those that were not known.
    """

    root: str
    spec: str
    known: Mapping[str, tuple[State, Folder]]

    def __post_init__(self) -> None:
        self.listed: dict[str, tuple[State, Folder]] = {}
        self.scanned = 0
        self._walks: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, int] = {}

    @classmethod
    def at(cls, root: Path, spec: str) -> Tree:
        """Make a tree of which nothing is known."""
        return cls(os.path.abspath(root), spec, {})

    def path(self, name: str) -> str:
        """Return the absolute path of a file or folder."""
        return os.path.join(self.root, name) if name else self.root

    def folder(self, name: str) -> Folder:
        """List a folder; raises UserError if it cannot be read."""
        if name not in self.listed:
            try:
                # Before it is listed: what comes in between then counts as a change.
                state = State.of(self.path(name))
                before = self.known.get(name)
                if before is not None and before[0] == state:
                    self.listed[name] = before
                else:
                    self.listed[name] = state, _scan(self.path(name))
                    self.scanned += 1
            except OSError as error:
                raise UserError(
                    f"data source {self.spec!r}: {self.path(name)} cannot be read: {error.strerror}"
                ) from None
        return self.listed[name][1]

    def folders(self, name: str) -> tuple[str, ...]:
        """Return the names, relative to the root, of the folders right in a folder."""
        return tuple(joined(name, inner) for inner in self.folder(name).folders)

    def walk(self, top: str) -> tuple[str, ...]:
        """Return a folder and all folders within it, each before those within it, in order.

        Links are followed, but no folder is listed twice, nor one that `top` lies in.
        """
        if top not in self._walks:
            self._walks[top] = self._walk(top)
        return self._walks[top]

    def _walk(self, top: str) -> tuple[str, ...]:
        if not self.folder(top).folders:
            return (top,)
        folders, links = self.walk_without_links(top)
        if not links:
            return tuple(folders)
        # Links can go in circles, also through a folder above.
        seen = {self.identity(name) for name in (*_above(top), *folders)}
        waiting = sorted(links)
        while waiting:
            link = waiting.pop(0)
            if (identity := self.identity(link)) not in seen:
                seen.add(identity)
                more, further = self.walk_without_links(link, seen)
                folders += more
                waiting = sorted([*waiting, *further])
        return tuple(sorted(folders, key=lambda name: name.split("/")))

    def walk_without_links(
        self, top: str, seen: set[tuple[int, int]] | None = None
    ) -> tuple[list[str], list[str]]:
        """Return a folder and all folders within it, and the links to folders that it holds.

        With `seen`, folders of these identities are left out, and the others added to them.
        """
        folders, links, waiting = [], [], [top]
        while waiting:
            name = waiting.pop()
            folders.append(name)
            listing = self.folder(name)
            inner = []
            for each in listing.folders:
                place = joined(name, each)
                if each in listing.links:
                    links.append(place)
                elif seen is None or (identity := self.identity(place)) not in seen:
                    inner.append(place)
                    if seen is not None:
                        seen.add(identity)
            waiting += reversed(inner)
        return folders, links

    def identity(self, name: str) -> tuple[int, int]:
        """Return what tells a folder from all others, by whichever link it is reached."""
        self.folder(name)
        state = self.listed[name][0]
        return state.device, state.inode

    def images_in(self, top: str) -> int:
        """Count the images in a folder and in the folders within it."""
        if top not in self._counts:
            self._counts[top] = sum(len(self.folder(name).images) for name in self.walk(top))
        return self._counts[top]

    def pass_over(self, folder: str, files: PassedOverFiles) -> None:
        """Add what lies right in a folder and is no image to the files that are passed over."""
        files.add_by_name(folder, self.folder(folder).others)
        for file, name in self._ignored_files(folder):
            reason = ignored(name)
            assert reason is not None
            files.add(reason, [file])

    def _ignored_files(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield the files of a folder that are ignored by name, and the name for which they are."""
        for name in self.folder(folder).ignored:
            place = joined(folder, name)
            for inner in files_within(self.path(place)):
                yield f"{place}{inner}", name


def _above(name: str) -> Iterable[str]:
    """Yield the names of the folders that a folder lies in, up to the root."""
    while name:
        name = name.rpartition("/")[0]
        yield name


def _scan(path: str) -> Folder:
    folders, others, ignored_names, links = [], [], [], []
    images: list[tuple[str, int]] = []
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if ignored(name) is not None:
                ignored_names.append(name)
                continue
            if _is_folder(entry):
                folders.append(name)
            elif is_image(entry.path, name):
                images.append((name, _size(entry)))
            else:
                others.append(name)
                continue
            if entry.is_symlink():
                links.append(name)
    # A file system lists in any order; seeds and fingerprint need the same one everywhere.
    images.sort()
    return Folder(
        folders=tuple(sorted(folders)),
        images=tuple(name for name, _ in images),
        sizes=np.array([size for _, size in images], np.int64),
        others=tuple(sorted(others)),
        ignored=tuple(sorted(ignored_names)),
        links=frozenset(links),
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        # A link to nothing: it is listed, so that the check leaves it out and names it.
        return -1
