"""How the images of a tree lie in its folders: what decides between parts and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.data.sources.folder.tree import joined
from trickbag.text import composed

if TYPE_CHECKING:
    from trickbag.data.sources.folder.tree import Tree

__all__ = ["Shape", "comparable"]


def comparable(name: str) -> str:
    """Return what two names of folders have in common that differ in case or Unicode form."""
    return composed(composed(name).casefold())


@dataclass(frozen=True)
class Shape:
    """Answers about the folders of a tree, by where its images lie."""

    tree: Tree

    def holders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder that hold an image, at any depth."""
        names = self.tree.folder(folder).folders
        return [name for name in names if self.tree.images_in(joined(folder, name))]

    def is_nested(self, folder: str) -> bool:
        """Return whether most of a folder's images lie in folders within it."""
        direct = len(self.tree.folder(folder).images)
        return direct < self.tree.images_in(folder) - direct

    def is_divided(self, folder: str) -> bool:
        """Return whether nearly all of a folder's images lie in folders within it.

        A class can hold folders beside its images, such as changed copies of them; a part holds few
        images of its own.
        """
        direct = len(self.tree.folder(folder).images)
        return self.is_nested(folder) and 5 * direct <= self.tree.images_in(folder)

    def only_way(self, folder: str) -> str | None:
        """Return the folder in a folder if it lies there alone and can hold class folders."""
        names = self.tree.folder(folder).folders
        if len(names) != 1:
            return None
        single = joined(folder, names[0])
        # A link can lead back to where it lies.
        return single if self.is_nested(single) and not self._is_above(single) else None

    def inner(self, folder: str) -> frozenset[str]:
        """Return the names of the folders that divide the images of a folder, comparable."""
        while single := self.only_way(folder):
            folder = single
        return frozenset(map(comparable, self.holders(folder)))

    def has_no_classes(self, folder: str, known: frozenset[str]) -> bool:
        """Return whether no folder in a folder is of a class, but for those that lie there alone.

        `known` are the classes; without them any folder is of a class.
        """
        while len(names := self.tree.folder(folder).folders) == 1 and known:
            single = joined(folder, names[0])
            if composed(names[0]) in known:
                return False
            if self._is_above(single):
                return True
            folder = single
        return not names

    def _is_above(self, link: str) -> bool:
        identity, name = self.tree.identity(link), link
        while name:
            name = name.rpartition("/")[0]
            if self.tree.identity(name) == identity:
                return True
        return False
