"""A validation part from a source of its own, of any kind."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.class_names import matched
from trickbag.data.labels import label_counts, relabelled
from trickbag.data.source import FilePart
from trickbag.data.sources.table.finder import UNNAMED
from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.data.source import Part, PassedOver, Source

__all__ = ["with_val_part"]

_NAMED = 5
"""The most classes that a message names."""


def with_val_part(source: Source, other: Source, *, fold: bool) -> Source:
    """Return a source with a validation part from another one; classes are joined by name.

    The part is `val` of the other source, else `test`, else `train`. `fold`: as in `matched`.
    Raises UserError if it has a class that the source lacks, or labels of another kind.
    """
    name = next(name for name in ("val", "test", "train") if name in other.parts)
    part = other.parts[name]
    facts = []
    if "val" in source.parts:
        facts.append(f"its own val part is not used: {other.spec} takes its place")
    if unused := [part for part in other.parts if part != name]:
        facts.append(f"of {other.spec} the part {name} is used, and not {', '.join(unused)}")
    parts = {**source.parts, "val": _joined(part, source, other, fold=fold)}
    return replace(
        source,
        parts={name: parts[name] for name in ("train", "val", "test") if name in parts},
        left_out=source.left_out + other.left_out,
        passed_over=_passed_over(source, other),
        notes=(
            *source.notes,
            *other.notes,
            *(Note("data", None, f"{source.spec}: {fact}") for fact in facts),
        ),
    )


def _joined(part: Part, source: Source, other: Source, *, fold: bool) -> Part:
    """Return a part whose labels are places in the classes of the source."""
    if any(part.labels.ndim != known_part.labels.ndim for known_part in source.parts.values()):
        raise UserError(
            f"{source.spec!r} and data.val_source = {other.spec!r} differ in whether an image has "
            "several labels",
            "give two tables of the same kind",
        )
    counts = label_counts(part.labels, len(other.classes))
    names = [name for name, count in zip(other.classes, counts, strict=True) if count]
    known = matched(names, source.classes, fold=fold)
    if unknown := [name for name in names if name not in known]:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise UserError(
            f"data.val_source = {other.spec!r} has classes that {source.spec!r} has not: "
            f"{', '.join(unknown[:_NAMED])}{more}",
            "add images of them to train with, or leave them out",
        )
    index = {name: i for i, name in enumerate(source.classes)}
    places = [index[known[name]] if name in known else -1 for name in other.classes]
    labels = relabelled(part.labels, np.array(places, np.int64), len(source.classes))
    return replace(part, labels=labels)


def _passed_over(source: Source, other: Source) -> tuple[PassedOver, ...]:
    """Return what both pass over, without the images that the rows of the other name."""
    named = {
        side.spec: {path for part in side.parts.values() for path in _paths(part, part.names)}
        for side in (source, other)
    }
    passed_over: list[PassedOver] = []
    counted: set[str] = set()
    for side, others in ((source, named[other.spec]), (other, named[source.spec])):
        part = next(iter(side.parts.values()))
        for item in side.passed_over:
            if item.kind != UNNAMED:
                passed_over.append(item)
                continue
            paths = _paths(part, item.files)
            pairs = zip(item.files, paths, strict=True)
            files = [file for file, path in pairs if path not in others and path not in counted]
            counted.update(paths)
            if files:
                passed_over.append(item._replace(files=tuple(files)))
    return tuple(passed_over)


def _paths(part: Part, names: Iterable[str]) -> list[str]:
    if not isinstance(part, FilePart):
        return list(names)
    return [os.path.normpath(os.path.join(part.root, name)) for name in names]
