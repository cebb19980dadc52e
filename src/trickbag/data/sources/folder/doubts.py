"""Class folders that could be something else: refused, or said."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trickbag.data.parts_setting import as_setting
from trickbag.data.sources.folder.part_folders import as_classes, some
from trickbag.data.sources.folder.shape import comparable
from trickbag.data.sources.folder.tree import joined
from trickbag.data.sources.part_names import part_name
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.sources.folder.shape import Shape
    from trickbag.data.sources.folder.tree import Tree

__all__ = ["doubts", "require_no_recurrence"]

_NAMED = 3
"""The most folders that a suggested setting names."""


def require_no_recurrence(tree: Tree, shape: Shape, folder: str) -> None:
    """Raise UserError where the same names recur one level down: these may be parts or copies."""
    holders = shape.holders(folder)
    inner = {
        name: shape.inner(joined(folder, name))
        for name in holders
        if shape.is_divided(joined(folder, name))
    }
    _require_no_copy(tree, folder, holders, inner)
    counts = Counter(each for names in inner.values() for each in names)
    recurring = [
        name
        for name, names in inner.items()
        if names and 2 * sum(counts[each] > 1 for each in names) >= len(names)
    ]
    # In `CLASS/images/*` what lies alone in each folder divides nothing.
    if len(recurring) < 2 or all(len(inner[name]) == 1 for name in recurring):
        return
    if 2 * len(recurring) < len(holders):
        return
    places = [joined(folder, name) for name in recurring]
    common = sorted(each for each in counts if counts[each] > 1)
    named = places[:_NAMED]
    parts = [*(("train", place) for place in named[:-1]), ("val", named[-1])]
    raise UserError(
        f"data source {tree.spec!r}: the same folders ({some(common)}) lie in {some(places)}: "
        "these may be parts or classes",
        f"if parts or folds: {as_setting(parts, more=len(places) > _NAMED)}; "
        f"if classes: {as_classes(folder)}",
    )


def _require_no_copy(
    tree: Tree, folder: str, holders: Sequence[str], inner: Mapping[str, frozenset[str]]
) -> None:
    """Raise UserError for a folder that holds the names of those beside it: `{a,b,all/{a,b}}`."""
    beside = {comparable(name) for name in holders}
    for name, names in inner.items():
        common = sorted(names & beside)
        if len(common) > 1 and 2 * len(common) >= len(names):
            place = joined(folder, name)
            raise UserError(
                f"data source {tree.spec!r}: in {place!r} lie folders of the same names as beside "
                f"it ({some(common)}): it may be a copy or a class",
                f"remove it, or take its folders as the classes: {as_classes(place)}; "
                f"if it is a class: {as_classes(folder)}",
            )


def doubts(shape: Shape, folder: str) -> list[str]:
    """Say what could be meant otherwise where the folders in a folder are the classes."""
    holders = shape.holders(folder)
    return [*_called_as_parts(folder, holders), *_deeper(shape, folder, holders)]


def _called_as_parts(folder: str, holders: list[str]) -> list[str]:
    named = {name: part.part for name in holders if (part := part_name(name)) is not None}
    if not named:
        return []
    first = next(iter(named))
    classes = "is a class" if len(named) == 1 else "are classes"
    return [
        f"{some(list(named), quoted=True)} {classes}, as {some(holders)} lie beside each other; "
        f"where it is a part: {as_setting([(named[first], joined(folder, first))], more=True)}"
    ]


def _deeper(shape: Shape, folder: str, holders: list[str]) -> list[str]:
    deep = [
        name
        for name in holders
        if shape.is_nested(joined(folder, name)) and len(shape.inner(joined(folder, name))) > 1
    ]
    counts = Counter(each for name in deep for each in shape.inner(joined(folder, name)))
    recurs = max(counts.values(), default=0) > 1
    if not deep or (2 * len(deep) < len(holders) and not recurs):
        return []
    first = joined(folder, deep[0])
    parts = [("train", joined(folder, name)) for name in deep[:_NAMED]]
    return [
        f"the classes are {some(holders)}; the folders within them, such as "
        f"{joined(first, shape.holders(first)[0])!r}, are none: "
        f"{as_setting(parts, more=len(deep) > _NAMED)} takes these as classes"
    ]
