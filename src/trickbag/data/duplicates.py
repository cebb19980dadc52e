"""Copies of an image: found by a hash of the file's bytes, or of the pixels of one in memory."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trickbag.data.source import Part
from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from trickbag.data.annotations import AnnotationKind

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

Across = Literal["parts", "classes", "boxes", "masks", "nothing"]

_ANNOTATED: tuple[Literal["boxes", "masks"], ...] = ("boxes", "masks")
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
    than one part. differing: what of them differs, their classes, boxes or masks; None if nothing
    does. examples: some of those shown, first those that differ in part or annotation.
    """

    places: tuple[tuple[str, int], ...]
    files: tuple[str, ...]
    shown: tuple[str, ...]
    in_parts: bool
    differing: AnnotationKind | None
    examples: tuple[str, ...]

    @classmethod
    def at(
        cls, places: Iterable[tuple[str, int]], parts: Mapping[str, Part], *, alike: bool = False
    ) -> CopySet:
        """Describe the images at places, of which those that only look `alike` have own boxes."""
        ordered = sorted(places, key=lambda place: (_PARTS.index(place[0]), place[1]))
        files = [parts[part].names[i] for part, i in ordered]
        # Parts from two sources can have the same names.
        same = len(set(files)) < len(files)
        shown = [
            f"{name} ({part})" if same else name
            for name, (part, _) in zip(files, ordered, strict=True)
        ]
        labels = [
            Part.annotation(parts[part], i) if alike else parts[part].annotation(i)
            for part, i in ordered
        ]
        differ = len(set(labels) - {None}) > 1
        kinds = [(part, label) for (part, _), label in zip(ordered, labels, strict=True)]
        firsts = dict(zip(reversed(kinds), reversed(range(len(kinds))), strict=True))
        by_novelty = sorted(range(len(files)), key=lambda i: firsts[kinds[i]] != i)
        return cls(
            places=tuple(ordered),
            files=tuple(files),
            shown=tuple(shown),
            in_parts=len({part for part, _ in ordered}) > 1,
            differing=("classes" if alike else parts[ordered[0][0]].annotations)
            if differ
            else None,
            examples=tuple(shown[i] for i in by_novelty[:_NAMED_FILES]),
        )

    @property
    def across(self) -> tuple[Across, ...]:
        """What the copies lie across: parts, differing annotations, both, or nothing."""
        across: list[Across] = ["parts"] if self.in_parts else []
        across += [self.differing] if self.differing else []
        return tuple(across) or ("nothing",)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each thing that they lie across: files, across."""
        return [{"files": list(self.files), "across": across} for across in self.across]


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

    Of images with different annotations all copies; of others all training copies if one lies in
    another part, and in each part all but the first.
    """
    dropped: dict[str, dict[int, str]] = defaultdict(dict)
    for copies in copy_sets:
        members = list(zip(copies.places, copies.shown, strict=True))
        held_back = next((file for (part, _), file in members if part != "train"), None)
        kept: dict[str, str] = {}
        for (part, i), file in members:
            if copies.differing:
                what = "labels" if copies.differing == "classes" else copies.differing
                other = next((name for name in copies.examples if name != file), file)
                dropped[part][i] = f"a copy of {other}, and the {what} of the copies differ"
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
        *(
            (
                kind,
                f"with different {kind}",
                f"not all of the {kind} can be right; data.duplicates=drop leaves all copies out",
                "all copies are left out",
            )
            for kind in _ANNOTATED
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
