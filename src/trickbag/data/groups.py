"""Images that belong together, such as those of a patient: a part holds all of a group or none."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from trickbag.data.source import Part

__all__ = [
    "group_numbers",
    "groups_in_several_parts",
    "groups_in_several_parts_notes",
    "require_groups",
    "share_notes",
]

_NAMED = 3


def groups_in_several_parts(parts: Mapping[str, Part]) -> dict[str, tuple[str, ...]]:
    """Return the groups whose images lie in more than one part, by name, with these parts.

    An image without a group belongs to none.
    """
    parts_of = defaultdict(list)
    for name, part in parts.items():
        for group in dict.fromkeys(part.groups):
            if group:
                parts_of[group].append(name)
    return {group: tuple(parts_of[group]) for group in sorted(parts_of) if len(parts_of[group]) > 1}


def groups_in_several_parts_notes(parts: Mapping[str, Part]) -> list[Note]:
    """Say which groups lie in more than one part."""
    divided = groups_in_several_parts(parts)
    if not divided:
        return []
    names = [f"{group} in {' and '.join(divided[group])}" for group in list(divided)[:_NAMED]]
    groups = "1 group lies" if len(divided) == 1 else f"{len(divided):,} groups lie"
    examples = ", ".join(names + ["..."] * (len(divided) > _NAMED))
    return [
        Note(
            "data",
            None,
            f"{groups} in more than one part ({examples}): metrics on them are too good "
            "(data.group_column)",
        )
    ]


def group_numbers(groups: Sequence[str], digests: Sequence[str]) -> NDArray[np.int64] | None:
    """Number the images (N,) so that those of one group, and copies, have one number.

    What is joined by a copy is one group. `groups` is empty, or has a name for each image; an empty
    name, and an empty digest, join nothing; so does an empty list of digests. Returns None where
    each image is a group of its own.
    """
    if not any(groups) and not any(digests):
        return None
    parent = list(range(max(len(groups), len(digests))))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for keys in (groups, digests):
        firsts: dict[str, int] = {}
        for i, key in enumerate(keys):
            first = firsts.setdefault(key, i) if key else i
            if first != i:
                a, b = root(first), root(i)
                # The first image of a group is its number.
                parent[max(a, b)] = min(a, b)
    numbers = np.array([root(i) for i in range(len(parent))], np.int64)
    return None if len(np.unique(numbers)) == len(numbers) else numbers


def require_groups(source: str, groups: Sequence[str], numbers: NDArray[np.int64] | None) -> Note:
    """Say how many groups hold together how many images.

    Raises UserError if all images are of one group, so that none can be held back.
    """
    named = len(set(groups) - {""})
    if numbers is None:
        return Note(
            "data",
            None,
            f"data.group_column: each image is a group of its own ({named:,} groups), so that the "
            "column keeps none together",
        )
    if len(np.unique(numbers)) < 2:
        raise UserError(
            f"data source {source!r}: all images are of one group, {groups[0]!r} "
            "(data.group_column), so that none can be held back",
            "name another column, or give a validation part",
        )
    alone = sum(not group for group in groups)
    without = f"; {alone:,} images have no group" if alone else ""
    return Note(
        "data",
        None,
        f"the images of a group stay together (data.group_column): {named:,} groups{without}",
    )


def share_notes(train: int, val: int, fraction: float) -> list[Note]:
    """Say if much more or less is held back than asked for, of `train` and `val` images."""
    share = val / max(1, train + val)
    if abs(share - fraction) <= max(0.01, fraction / 5):
        return []
    return [
        Note(
            "data",
            None,
            f"{100 * share:.3g} % of the images are held back, not {100 * fraction:.3g} % "
            "(data.val_fraction): groups and copies stay together",
        )
    ]
