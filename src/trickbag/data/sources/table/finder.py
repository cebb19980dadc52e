"""The image files that the values of a table name."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.data.source import PassedOver
from trickbag.data.sources.outside import is_beyond
from trickbag.data.sources.table.listing import (
    ListedFolder,
    divided,
    folders_within,
    in_part,
    joined,
    listed,
    parted,
)
from trickbag.data.sources.table.sheet import is_image_name
from trickbag.data.sources.table.spellings import FileNames, folder_like, respelled
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["UNNAMED", "ImageFinder"]

UNNAMED = "no row names it"
"""The kind of images that lie where those of a table lie, without a row."""

_UNNAMED_REASON = "an image in a folder to which rows lead"

_NAMED = 3

_SUGGESTED = 20
"""The most names without a file for which the nearest is looked for: each can take 0.05 s."""


@dataclass
class ImageFinder:
    """Finds the files that values of a table name, in `folders` under `base`.

    Each folder is listed once. Of files in two of the folders the first is meant; with `all_alike`
    the value is ambiguous. Where a value means no file in them, the folders within are searched,
    those within `home` first. Files within `roots`, or within `base` where there are none, are not
    outside.
    """

    base: Path
    folders: tuple[str, ...]
    home: str | None = None
    roots: tuple[Path, ...] = ()
    all_alike: bool = False
    _listed: dict[str, ListedFolder] = field(default_factory=dict)
    _beyond: dict[str, bool] = field(default_factory=dict)
    _places: dict[tuple[str, str, bool], str] = field(default_factory=dict)
    _index: dict[str, list[tuple[str, str]]] | None = None
    _homes: frozenset[str] = frozenset()
    _same_names: dict[str, bool] = field(default_factory=dict)
    _from_within: set[str] = field(default_factory=set)
    _two_files: str | None = None
    _in_other_case: dict[str, str] = field(default_factory=dict)
    _suggested: int = 0
    _stopped: bool = False

    def find(self, value: str, part: str = "") -> str | None:
        """Return the name, relative to `base`, of the image that a value means, or None.

        Of images of one name in different folders it is the one in the folder of the `part`.
        """
        matches = self.matches(value, part)
        return matches[0] if len(matches) == 1 else None

    def find_directly(self, value: str) -> str | None:
        """Return what `find` returns, but look into no folder within."""
        matches = self.matches(value, within=False)
        return matches[0] if matches else None

    def matches(self, value: str, part: str = "", *, within: bool = True) -> tuple[str, ...]:
        """Return the names of all images that a value can mean; see `find`."""
        inner, name = divided(value)
        matches = self._directly(inner, name)
        if within and not matches and not os.path.isabs(inner):
            matches = self._within(inner, name)
            self._from_within.update(matches)
        if within and not matches:
            matches = self._directly(inner, name, any_case=True)
            if matches:
                self._in_other_case[value] = matches[0]
        if len(matches) > 1 and part:
            matches = in_part(matches, part)
        return tuple(dict.fromkeys(matches))

    def reason(self, value: str, part: str = "") -> str:
        """Say why a value has no image, in a few words."""
        matches = self.matches(value, part)
        if len(matches) > 1:
            places = [os.path.dirname(name) or "." for name in matches]
            more = f" and {len(places) - _NAMED} more folders" if len(places) > _NAMED else ""
            return f"an image of this name lies in {', '.join(places[:_NAMED])}{more}"
        if near := self.nearest(value):
            return f"no such image file; the nearest is {near}"
        return "no such image file"

    def nearest(self, value: str) -> str | None:
        """Return the name of the image that a value without one may have meant; None if unknown."""
        if self._suggested == _SUGGESTED:
            return None
        self._suggested += 1
        inner, name = divided(value)
        for folder in self.folders:
            place = self._place(folder, inner, any_case=True)
            if near := self._list(place).names.nearest(name):
                return near if os.path.isabs(place) else os.path.join(place, near)
        files = {file: place for places in (self._index or {}).values() for place, file in places}
        near = FileNames(files).nearest(name)
        return None if near is None else os.path.join(files[near], near)

    def size(self, name: str) -> int:
        """Return the size in bytes of a file that `find` returned."""
        inner, file = parted(name)
        return self._list(inner).sizes[file]

    def is_outside(self, name: str) -> bool:
        """Return whether a file that `find` returned lies outside of all roots, links resolved."""
        inner, file = parted(name)
        if self._is_beyond(inner):
            return True
        # Only links can lead out of a folder that lies within; few files are links.
        return file in self._list(inner).links and self._leads_out(name)

    def facts(self, names: Iterable[str]) -> Iterator[str]:
        """Yield what a person should know about where the images `names` were."""
        if self._two_files:
            yield self._two_files
        if self._in_other_case:
            value, file = next(iter(self._in_other_case.items()))
            count = len(self._in_other_case)
            names = "1 name is" if count == 1 else f"{count:,} names are"
            yield f"{names} in another letter case than the file, such as {value!r} for {file}"
        places = Counter(os.path.dirname(name) for name in names if name in self._from_within)
        if places:
            named = [f"{place} ({count:,})" for place, count in places.most_common(_NAMED)]
            rest = len(places) - len(named)
            more = f" and {rest} more" if rest else ""
            total = sum(places.values())
            images = "1 image was" if total == 1 else f"{total:,} images were"
            yield f"{images} looked for in the folders within: {', '.join(named)}{more}"
        if self._stopped:
            yield (
                "there are too many folders within to search them all for images: "
                "give the images' folder with --image-root"
            )

    def unnamed(self, names: Iterable[str]) -> PassedOver | None:
        """Return the images that `names` leaves out of the folders that it leads to."""
        named: dict[str, set[str]] = defaultdict(set)
        for name in names:
            inner, file = parted(name)
            named[inner].add(file)
        files = [
            joined(inner, file)
            for inner in sorted(named)
            for file in self._images_of(inner)
            if file not in named[inner]
        ]
        return PassedOver(UNNAMED, _UNNAMED_REASON, tuple(files), ignored=True) if files else None

    def _images_of(self, inner: str) -> list[str]:
        return sorted(file for files in self._list(inner).by_stem.values() for file in files)

    def _directly(self, inner: str, name: str, *, any_case: bool = False) -> list[str]:
        """Return the files that a name means in the folders; of several folders all if alike."""
        matches = []
        for folder in self.folders:
            place = self._place(folder, inner, any_case=any_case)
            file = self._file_of(place, name, any_case=any_case)
            if file is not None:
                matches.append(joined(place, file))
                if not self.all_alike:
                    break
        return matches

    def _place(self, folder: str, inner: str, *, any_case: bool) -> str:
        """Return the folder `inner` in another, in the spelling in which it exists."""
        if not inner:
            return folder
        key = folder, inner, any_case
        if key not in self._places:
            place = os.path.normpath(os.path.join(folder, inner))
            if not self._list(place).exists and not os.path.isabs(inner):
                like = folder_like(str(self.base / folder), inner, any_case=any_case)
                place = os.path.normpath(os.path.join(folder, like or inner))
            self._places[key] = place
        return self._places[key]

    def _file_of(self, inner: str, name: str, *, any_case: bool = False) -> str | None:
        """Return the file of a folder that a name means, with or without extension."""
        folder = self._list(inner)
        if name in folder.sizes and (name not in folder.by_stem or is_image_name(name)):
            # Also a file without the extension of an image: whether it is one is seen later.
            return name
        if any_case:
            return folder.names.in_any_case(name)
        first, *others = folder.by_stem.get(name) or folder.names.of(name) or (None,)
        if others and self._two_files is None:
            self._two_files = (
                f"{name!r} can be {first} or {others[0]}; the first is used, as for all like it"
            )
        return first

    def _within(self, inner: str, name: str) -> list[str]:
        """Return the images that a name means in the folders within; all if there are several.

        Those in the folder `home` come first. One elsewhere is left out if its folder has images of
        the same names as those where images were to be: there, names do not tell images apart.
        """
        if self._index is None:
            self._index = self._indexed()
        end = composed(f"/{inner}") if inner else ""
        files: dict[str, str] = {}
        for folder, file in self._index.get(respelled(name), ()):
            if not end or composed(f"/{folder}").endswith(end):
                # Of files that differ in the spelling alone it is the one that is named.
                files[folder] = file if file == name else files.get(folder, file)
        at_home = {folder: file for folder, file in files.items() if folder in self._homes}
        if not at_home:
            files = {place: file for place, file in files.items() if not self._repeats(place)}
        return [os.path.join(folder, file) for folder, file in (at_home or files).items()]

    def _indexed(self) -> dict[str, list[tuple[str, str]]]:
        """Return folder and name of each file in the folders within, by name and stem."""
        index: dict[str, list[tuple[str, str]]] = defaultdict(list)
        within = folders_within(self.base, self.folders, self.home, self._list)
        self._homes, self._stopped = within.at_home, not within.complete
        for folder in within.folders:
            files_in_it = self._list(folder)
            for file in sorted(files_in_it.sizes):
                index[respelled(file)].append((folder, file))
            for stem, files in files_in_it.by_stem.items():
                index[respelled(stem)].append((folder, files[0]))
        return index

    def _repeats(self, inner: str) -> bool:
        """Tell whether a folder has images of the same names as the folders at home."""
        if inner not in self._same_names:
            names = self._list(inner).by_stem.keys()
            homes = (self._list(home).by_stem.keys() for home in self._homes)
            self._same_names[inner] = any(not names.isdisjoint(home) for home in homes)
        return self._same_names[inner]

    def _is_beyond(self, inner: str) -> bool:
        if inner not in self._beyond:
            self._beyond[inner] = self._leads_out(inner)
        return self._beyond[inner]

    def _leads_out(self, name: str) -> bool:
        return all(is_beyond(self.base / name, root) for root in self.roots or (self.base,))

    def _list(self, inner: str) -> ListedFolder:
        folder = self._listed.get(inner)
        if folder is None:
            folder = self._listed[inner] = listed(self.base / inner)
        return folder
