"""The folders of the parts as the setting `data.parts` names them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trickbag.data.parts_setting import as_folder, given_folders
from trickbag.data.passed_over import ignored
from trickbag.data.sources.folder.tree import joined
from trickbag.data.sources.part_names import PART_WORDS
from trickbag.errors import UserError
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.data.sources.folder.tree import Tree

__all__ = ["read_given_parts"]


def read_given_parts(
    tree: Tree, items: Sequence[str]
) -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, str]]:
    """Return the folders of each class of each part, and the first folder of each part.

    Raises UserError for a folder that does not exist or has no class folders, and where an image
    would lie in more than one part.
    """
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    firsts: dict[str, str] = {}
    for part, folder in given_folders(items):
        count = 0
        for label, place in _class_folders(tree, folder):
            classes = parts.setdefault(part, {})
            classes[label] = (*classes.get(label, ()), place)
            count += 1
        if not count:
            there = "*" in folder or _exists(tree, folder)
            raise UserError(
                f"data.parts = {part}:{as_folder(folder)}: "
                f"{'there are no class folders' if there else 'there is no such folder'} "
                f"in {tree.spec!r}"
            )
        firsts.setdefault(part, folder)
    _require_apart(parts)
    return {part: parts[part] for part in PART_WORDS if part in parts}, firsts


def _class_folders(tree: Tree, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each class and its folder."""
    above, star, below = f"{folder}/".partition("*/")
    above, below = above.rstrip("/"), below.rstrip("/")
    if not _exists(tree, above):
        return
    for name in tree.folder(above).folders:
        place = joined(above, name)
        if star and below:
            place = joined(place, below)
            if not _exists(tree, place):
                continue
        yield composed(name), place


def _exists(tree: Tree, folder: str) -> bool:
    by_name = any(ignored(step) for step in folder.split("/"))
    return not by_name and os.path.isdir(tree.path(folder))


def _require_apart(parts: dict[str, dict[str, tuple[str, ...]]]) -> None:
    part_of = {
        place: part
        for part, classes in parts.items()
        for places in classes.values()
        for place in places
    }
    for place, part in part_of.items():
        above = place
        while above := above.rpartition("/")[0]:
            if above in part_of:
                raise UserError(
                    f"data.parts: the images of {place!r} ({part}) also lie in {above!r} "
                    f"({part_of[above]})",
                    "name folders that do not lie within each other",
                )
