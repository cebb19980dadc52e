"""The listing of a large tree, kept in the cache folder: its folders alone are looked at again.

A folder whose time of change is that of before has the same files. A file that was written over in
its place changes no folder: its size is compared when it is read, see `FilePart.read`, and those of
some files when the listing is taken from the cache.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from trickbag.checksums import DamagedFile, has_seal, sealed
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.passed_over import rules
from trickbag.data.sources.folder.tree import Folder, State, Tree
from trickbag.errors import Note, RunFailed, UserError
from trickbag.files import replacing
from trickbag.paths import MAPPED, exists, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["OpenedTree", "open_tree"]

_SCHEMA = 1

_KEPT_FROM = 100_000
"""Listings of so many files are kept. Of smaller sources every file is read before training."""

_SETTLED_NS = 3_000_000_000
"""A folder that was changed so shortly before it was listed may change again at the same time, by
the clock of its file system: it is listed again."""

_COMPARED = 256
"""Files of a listing from the cache whose sizes are compared with those of now."""

_LISTS = 5
"""The lists of names of a folder: folders, images, others, ignored, links."""


@dataclass
class OpenedTree:
    """A tree, and where its listing is kept."""

    tree: Tree
    file: Path
    damaged: bool
    started_ns: int

    def keep(self) -> tuple[Note, ...]:
        """Keep the listing if it is large and has changed; return what is to be said of it."""
        notes = []
        if self.damaged:
            reason = f"the kept listing {self.file} was damaged: the folders were listed again"
            notes.append(Note("damage", None, reason))
        files = sum(len(folder.images) for _, folder in self.tree.listed.values())
        if self.tree.scanned and files >= _KEPT_FROM:
            settled = {
                name: (state, folder)
                for name, (state, folder) in self.tree.listed.items()
                if state.mtime_ns < self.started_ns - _SETTLED_NS
            }
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(self.file) as file, sealed(file) as summed:
                    _write(summed, settled)
            except (OSError, RunFailed) as error:
                reason = f"the listing of the files is not kept for the next run: {error}"
                notes.append(Note("data", None, reason))
        return tuple(notes)


def open_tree(root: Path, spec: str, cache_dir: Path | None = None, *, fresh: bool) -> OpenedTree:
    """Open a tree with what is known of it from an earlier listing, in `cache_dir`.

    It is by default the user's cache folder. What is `fresh` is listed again as a whole. A file
    that is damaged, or of another version, counts as absent.
    """
    place = os.path.abspath(root)
    digest = hashlib.blake2b(place.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    file = (cache_dir or cache_folder()) / "listings" / f"{digest}.npy"
    known: Mapping[str, tuple[State, Folder]] = {}
    damaged = False
    started = time.time_ns()
    if not fresh:
        try:
            known = _read(file) if exists(file) else {}
        except (OSError, UserError, ValueError, IndexError, EOFError):
            # All that damaged arrays, or what is no file can lead to.
            damaged = True
        if not _fits(place, known):
            known = {}
    return OpenedTree(Tree(place, spec, known), file, damaged, started)


def _fits(root: str, known: Mapping[str, tuple[State, Folder]]) -> bool:
    """Compare the sizes of some files, spread over all, with those of a kept listing."""
    total = sum(len(folder.images) for _, folder in known.values())
    wanted = iter(np.linspace(0, total - 1, min(_COMPARED, total)).astype(int).tolist())
    next_wanted, start = next(wanted, None), 0
    for name, (state, folder) in known.items():
        end = start + len(folder.images)
        while next_wanted is not None and next_wanted < end:
            i = next_wanted - start
            place = os.path.join(root, name)
            try:
                same = os.stat(os.path.join(place, folder.images[i])).st_size == folder.sizes[i]
                # A folder that has changed is listed again in any case.
                if not same and State.of(place) == state:
                    return False
            except OSError:
                # So is one whose file is gone.
                pass
            next_wanted = next(wanted, None)
        start = end
    return True


def _version() -> str:
    return f"{_SCHEMA}, {rules()}"


def _write(file: BinaryIO, listed: Mapping[str, tuple[State, Folder]]) -> None:
    lists = [
        (folder.folders, folder.images, folder.others, folder.ignored, sorted(folder.links))
        for _, folder in listed.values()
    ]
    names = [*listed, *(name for five in lists for each in five for name in each)]
    arrays = (
        _text([_version()]),
        np.array([state for state, _ in listed.values()], np.int64).reshape(-1, 3),
        np.array([[len(each) for each in five] for five in lists], np.int64).reshape(-1, _LISTS),
        _text(names),
        np.concatenate([np.zeros(0, np.int64), *(folder.sizes for _, folder in listed.values())]),
    )
    for array in arrays:
        np.save(file, array, allow_pickle=False)


def _read(file: Path) -> dict[str, tuple[State, Folder]]:
    """Read a kept listing; raises many kinds of errors if it is damaged."""
    if not has_seal(file):
        raise DamagedFile("it has no checksum")
    with open_regular(file, MAPPED) as opened:
        load = _arrays(opened)
        if _names(next(load)) != [_version()]:
            return {}
        states, counts, text, sizes = load
    names = _names(text)
    if len(names) != len(counts) + counts.sum() or len(sizes) != counts[:, 1].sum():
        raise DamagedFile("its numbers do not fit")
    known = {}
    start, size = len(counts), 0
    rows = zip(names[:start], states.tolist(), counts.tolist(), strict=True)
    for name, state, lengths in rows:
        lists = []
        for length in lengths:
            lists.append(tuple(names[start : start + length]))
            start += length
        folders, images, others, ignored, links = lists
        folder_sizes = sizes[size : size + len(images)]
        size += len(images)
        known[name] = (
            State(*state),
            Folder(folders, images, folder_sizes, others, ignored, frozenset(links)),
        )
    return known


def _arrays(file: Any) -> Iterator[NDArray[Any]]:
    for _ in range(5):
        yield np.load(file, allow_pickle=False)


def _text(names: list[str]) -> NDArray[np.uint8]:
    """Return names as bytes; a name holds no zero byte."""
    # A zero byte behind each, so that no name at all differs from one that is empty.
    text = "".join(f"{name}\0" for name in names)
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)


def _names(text: NDArray[np.uint8]) -> list[str]:
    return text.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
