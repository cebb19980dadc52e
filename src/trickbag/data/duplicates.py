"""Copies of an image: found by a hash of the file's bytes, or of the pixels of one in memory."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from trickbag.data.source import Part

__all__ = [
    "Across",
    "CopySet",
    "content_digest",
    "copies_of",
    "copies_to_drop",
    "copy_notes",
    "first_examples",
    "pixel_digest",
]

Across = Literal["parts", "classes", "nothing"]

_PARTS = ("train", "val", "test")
_NAMED_SETS = 3
_NAMED_FILES = 3


def content_digest(data: bytes | memoryview) -> str:
    """Hash bytes with BLAKE2b to 16 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Hash an image in memory, of any shape, to 16 hexadecimal digits."""
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class CopySet:
    """Images of a source that are the same, or look alike: two or more.

    places: the part and the index in it of each, training first. files: their names. shown: the
    same, with the part where names alone do not tell them apart. in_parts: whether they lie in more
    than one part. in_classes: whether their labels differ. examples: some of those shown, first
    those that differ in part or label.
    """

    places: tuple[tuple[str, int], ...]
    files: tuple[str, ...]
    shown: tuple[str, ...]
    in_parts: bool
    in_classes: bool
    examples: tuple[str, ...]

    @classmethod
    def at(cls, places: Iterable[tuple[str, int]], parts: Mapping[str, Part]) -> CopySet:
        """Describe the images at places."""
        ordered = sorted(places, key=lambda place: (_PARTS.index(place[0]), place[1]))
        files = [parts[part].names[i] for part, i in ordered]
        # Parts from two sources can have the same names.
        same = len(set(files)) < len(files)
        shown = [
            f"{name} ({part})" if same else name
            for name, (part, _) in zip(files, ordered, strict=True)
        ]
        labels = [_label(parts[part], i) for part, i in ordered]
        kinds = [(part, label) for (part, _), label in zip(ordered, labels, strict=True)]
        firsts = dict(zip(reversed(kinds), reversed(range(len(kinds))), strict=True))
        by_novelty = sorted(range(len(files)), key=lambda i: firsts[kinds[i]] != i)
        return cls(
            places=tuple(ordered),
            files=tuple(files),
            shown=tuple(shown),
            in_parts=len({part for part, _ in ordered}) > 1,
            in_classes=len(set(labels) - {None}) > 1,
            examples=tuple(shown[i] for i in by_novelty[:_NAMED_FILES]),
        )

    @property
    def across(self) -> tuple[Across, ...]:
        """What the copies lie across: parts, classes, both, or nothing."""
        both: tuple[tuple[Across, bool], ...] = (
            ("parts", self.in_parts),
            ("classes", self.in_classes),
        )
        return tuple(name for name, holds in both if holds) or ("nothing",)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each thing that they lie across: files, across."""
        return [{"files": list(self.files), "across": across} for across in self.across]


def _label(part: Part, i: int) -> bytes | int | None:
    """Return the label or the labels of an image; None if they are unknown."""
    labels = part.labels[i]
    if labels.ndim:
        return bytes(labels.tobytes()) if labels.any() else None
    return int(labels) if labels >= 0 else None


def copies_of(
    parts: Mapping[str, Part], digests: Mapping[str, Sequence[str]]
) -> tuple[CopySet, ...]:
    """Find the images of a source that are the same, by their digests; an empty one is unknown.

    They are in the order of their first images: training, validation, test.
    """
    places = defaultdict(list)
    for name in sorted(parts, key=_PARTS.index):
        for i, digest in enumerate(digests[name]):
            if digest:
                places[digest].append((name, i))
    return tuple(CopySet.at(members, parts) for members in places.values() if len(members) > 1)


def copies_to_drop(copy_sets: Iterable[CopySet]) -> dict[str, dict[int, str]]:
    """Return what `data.duplicates = drop` leaves out: for each part, reasons by index.

    Of images with different labels all copies; of others all training copies if one lies in another
    part, and in each part all but the first.
    """
    dropped: dict[str, dict[int, str]] = defaultdict(dict)
    for copies in copy_sets:
        members = list(zip(copies.places, copies.shown, strict=True))
        held_back = next((file for (part, _), file in members if part != "train"), None)
        kept: dict[str, str] = {}
        for (part, i), file in members:
            if copies.in_classes:
                other = next((name for name in copies.examples if name != file), file)
                dropped[part][i] = f"a copy of {other}, and the labels of the copies differ"
            elif part == "train" and held_back is not None:
                dropped[part][i] = f"a copy of {held_back}"
            elif part in kept:
                dropped[part][i] = f"a copy of {kept[part]}"
            else:
                kept[part] = file
    return {
        part: {i: f"{reason} (data.duplicates = drop)" for i, reason in reasons.items()}
        for part, reasons in dropped.items()
    }


def copy_notes(copy_sets: Sequence[CopySet], *, drop: bool, multi_label: bool) -> list[Note]:
    """Say what lies in more than one place, and what becomes of it."""
    classes = "with different labels" if multi_label else "in more than one class"
    rows: tuple[tuple[Across, str, str, str], ...] = (
        (
            "parts",
            "in more than one part",
            "metrics on them are too good; data.duplicates=drop leaves the training copies out",
            "their training copies are left out",
        ),
        (
            "classes",
            classes,
            "not all of the labels can be right; data.duplicates=drop leaves all copies out",
            "all copies are left out",
        ),
        (
            "nothing",
            "more than once in a part",
            "they count as often; data.duplicates=drop leaves all but the first out",
            "all but the first are left out",
        ),
    )
    notes = []
    for across, where, if_noted, if_dropped in rows:
        members = [copies for copies in copy_sets if across in copies.across]
        if members:
            images = "1 image lies" if len(members) == 1 else f"{len(members):,} images lie"
            effect = f"{if_dropped} (data.duplicates=drop)" if drop else if_noted
            reason = f"copies: {images} {where} ({first_examples(members)}): {effect}"
            notes.append(Note("data", None, reason))
    return notes


def first_examples(copy_sets: Sequence[CopySet]) -> str:
    """Write the first few sets of images: `a = b, c = d = e, ...`."""
    texts = [
        " = ".join([*copies.examples, *["..."] * (len(copies.files) > _NAMED_FILES)])
        for copies in copy_sets[:_NAMED_SETS]
    ]
    return ", ".join(texts + ["..."] * (len(copy_sets) > _NAMED_SETS))
