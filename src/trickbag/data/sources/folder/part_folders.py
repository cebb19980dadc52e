"""Folders that are parts by their names, and not classes that are called so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.data.parts_setting import as_setting
from trickbag.data.sources.folder.tree import joined
from trickbag.data.sources.part_names import PART_WORDS, part_name, words_beside
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.sources.folder.shape import Shape
    from trickbag.data.sources.folder.tree import Tree
    from trickbag.data.sources.part_names import PartName

__all__ = ["as_classes", "part_folders", "some"]

_NAMED = 5
"""The most folders that a message names."""


def some(names: Sequence[str], *, quoted: bool = False) -> str:
    """Name the first few of many: `a, b and 7 more`."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) if quoted else name for name in names[:_NAMED]) + more


def as_classes(folder: str) -> str:
    """Return the setting with which the folders in a folder are the classes."""
    return as_setting([("train", folder)])


def part_folders(tree: Tree, shape: Shape, folder: str) -> dict[str, str]:
    """Return the name of the folder of each part in a folder; none if these are classes.

    A folder named after a part is one if its images lie in folders within it. Where images lie
    right in all such folders, they are classes if other classes lie beside them. Raises UserError
    for several folders of one part.
    """
    names = tree.folder(folder).folders
    named = {name: part for name in names if (part := part_name(name)) is not None}
    if not named:
        return {}
    holders = shape.holders(folder)
    accepted = {
        name: part
        for name, part in named.items()
        if part.rank == 0
        or (name in holders and (part.rank == 1 or _is_part(shape, folder, name, named, holders)))
    }
    nested = [name for name in accepted if shape.is_nested(joined(folder, name))]
    others = [name for name in holders if name not in accepted]
    if not nested:
        same = len({part.part for part in accepted.values()}) == 1 and len(accepted) > 1
        if others or not accepted or (same and all(p.rank == 2 for p in accepted.values())):
            return {}
    elif len(nested) == 1:
        _require_no_class(tree, shape, folder, nested[0], others)
    return _best(tree, folder, accepted)


def _is_part(
    shape: Shape, folder: str, name: str, named: Mapping[str, PartName], holders: Sequence[str]
) -> bool:
    """Return whether a folder such as `seg_train` is a part; it could be a class too."""
    others = [other for other in holders if other != name]
    if all(other in named for other in others):
        return True
    inner = shape.inner(joined(folder, name))
    if any(inner & shape.inner(joined(folder, other)) for other in others if other in named):
        return True
    # `seg_train` beside `seg_pred`.
    return all(named[name].others & words_beside(other) for other in others)


def _require_no_class(
    tree: Tree, shape: Shape, folder: str, name: str, others: Sequence[str]
) -> None:
    """Raise UserError where the only part has the same folders in it as those beside it."""
    inner = shape.inner(joined(folder, name))
    alike = [other for other in others if inner & shape.inner(joined(folder, other))]
    if len(alike) > 1:
        place = joined(folder, name)
        raise UserError(
            f"data source {tree.spec!r}: {place!r} has the same folders in it as {some(alike)}: "
            "it may be a part or a class",
            f"if it is a part: {as_classes(place)}; if a class: {as_classes(folder)}",
        )


def _best(tree: Tree, folder: str, accepted: Mapping[str, PartName]) -> dict[str, str]:
    """Return the folder of each part whose name is the surest."""
    chosen = {}
    for part in PART_WORDS:
        ranks = {name: each.rank for name, each in accepted.items() if each.part == part}
        best = [name for name, rank in ranks.items() if rank == min(ranks.values())]
        if len(best) > 1:
            setting = as_setting([(part, joined(folder, name)) for name in best[:3]], more=True)
            raise UserError(
                f"data source {tree.spec!r} has several folders for {part}: {some(best)}",
                f"keep one, or name the folders of all parts: {setting}",
            )
        if best:
            chosen[part] = best[0]
    return chosen
