"""The files of a folder by the names that a table gives them: another spelling is the same name.

Programs and file systems write a name in Unicode's composed or decomposed form, and extensions in
capitals or small letters. Letter case elsewhere can tell two files apart.
"""

from __future__ import annotations

import difflib
import os
from bisect import bisect
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["FileNames", "folder_like", "respelled"]

_COMPARED = 2000
"""The most names that are compared with a missing one, which takes 20 microseconds each."""


def respelled(name: str) -> str:
    """Return a name in the one spelling in which names are compared.

    It is Unicode's normal form C, with the extension in small letters.
    """
    stem, extension = os.path.splitext(composed(name))
    return stem + extension.lower()


class FileNames:
    """The image files of a folder, without hidden ones, by the names that a table may give them."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = sorted(files)

    def of(self, name: str) -> Sequence[str]:
        """Return the files that a name means, with or without their extension, in order.

        They have this name when `respelled`; or if none has, this name without the extension.
        """
        return self._by_name.get(respelled(name)) or self._by_stem.get(composed(name)) or ()

    def in_any_case(self, name: str) -> str | None:
        """Return the only file that a name means if letter case does not count."""
        key = composed(name).casefold()
        for files in (self._by_folded_name, self._by_folded_stem):
            if key in files:
                return files[key][0] if len(files[key]) == 1 else None
        return None

    def nearest(self, name: str) -> str | None:
        """Return the file whose name is the most like one that is missing; None if none is."""
        # Letters that differ in case alone are nearer than two others.
        key, has_extension = composed(name).casefold(), "." in name
        place = bisect(self._folded, (key, ""))
        window = self._folded[max(0, place - _COMPARED // 2) : place + _COMPARED // 2]
        files = {
            (folded if has_extension else os.path.splitext(folded)[0]): file
            for folded, file in reversed(window)
        }
        nearest = difflib.get_close_matches(key, files, n=1)
        return files[nearest[0]] if nearest else None

    def _grouped(self, key: Callable[[str], str]) -> Mapping[str, list[str]]:
        groups: dict[str, list[str]] = defaultdict(list)
        for file in self.files:
            groups[key(file)].append(file)
        return dict(groups)

    # Most names need none of these.
    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        return self._grouped(respelled)

    @cached_property
    def _by_stem(self) -> Mapping[str, list[str]]:
        return self._grouped(lambda file: composed(os.path.splitext(file)[0]))

    @cached_property
    def _by_folded_name(self) -> Mapping[str, list[str]]:
        return self._grouped(lambda file: composed(file).casefold())

    @cached_property
    def _by_folded_stem(self) -> Mapping[str, list[str]]:
        return self._grouped(lambda file: composed(os.path.splitext(file)[0]).casefold())

    @cached_property
    def _folded(self) -> list[tuple[str, str]]:
        return sorted((composed(file).casefold(), file) for file in self.files)


def folder_like(base: str, inner: str, *, any_case: bool) -> str | None:
    """Return the folder under `base` that a path means in another spelling; None if none does.

    Each folder on the way is the only one that is equal in Unicode's normal form C, else with
    `any_case` the only one that is equal without letter case too.
    """
    path = ""
    for name in inner.split(os.sep):
        if os.path.isdir(os.path.join(base, path, name)):
            path = os.path.join(path, name)
            continue
        try:
            with os.scandir(os.path.join(base, path)) as entries:
                folders = [entry.name for entry in entries if entry.is_dir()]
        except (OSError, ValueError):
            return None
        alike = [folder for folder in folders if composed(folder) == composed(name)]
        if any_case and not alike:
            folded = composed(name).casefold()
            alike = [folder for folder in folders if composed(folder).casefold() == folded]
        if len(alike) != 1:
            return None
        path = os.path.join(path, alike[0])
    return path
