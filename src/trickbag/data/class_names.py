"""Names of classes: one spelling for each class, whatever source they come from.

Names that are equal in Unicode's normal form C are one class: they look the same, and file systems
and programs write either form. Names that differ in letter case or blanks alone, or that are the
same number, may be one class or several: nothing merges them unless a person asks for it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal

import numpy as np

from trickbag.data.labels import label_counts, relabelled
from trickbag.errors import Note
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trickbag.data.source import Source

__all__ = [
    "NA_LABELS",
    "ClassNames",
    "class_names",
    "folded",
    "is_missing",
    "matched",
    "missing_labels_fact",
    "with_one_spelling",
]

NA_LABELS = frozenset(
    {
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
"""What stands for a missing value in a table, beside an empty cell: the list of pandas' `read_csv`.

Letter case counts, as there: `none` is a class.
"""

_NAMED = 5
"""The most groups of names that a note names."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")


def folded(name: str) -> str | Decimal:
    """Return what names have in common that a person may take for the same class.

    It is the number if a name is one (`0`, `00`, `0.0`); else the name without letter case, with
    one blank for each run of blanks and underscores, in Unicode's normal form KC.
    """
    plain = unicodedata.normalize("NFKC", name).strip()
    if _NUMBER.fullmatch(plain):
        try:
            # A Decimal compares and hashes by its exact value, however many digits it has.
            return Decimal(plain)
        except InvalidOperation:
            pass
    # Folding can undo the normal form.
    text = unicodedata.normalize("NFKC", plain.casefold())
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(visible.replace("_", " ").split())


def is_missing(label: str, *, na_labels: Literal["missing", "class"] = "missing") -> bool:
    """Tell whether a cell of a table holds no label; see `DataConfig.na_labels`."""
    return not label or (label in NA_LABELS and na_labels == "missing")


def missing_labels_fact(counts: Mapping[str, int]) -> str | None:
    """Say which labels of rows were taken for missing values, and how to keep them.

    `counts` are the numbers of rows without a label by what stands in their cell. None if all of
    these cells are empty.
    """
    named = [(label, counts[label]) for label in sorted(counts) if label]
    if not named:
        return None
    rows = ", ".join(f"{label!r} ({count})" for label, count in named)
    return (
        f"rows whose label stands for a missing value are left out: {rows}; "
        "where it is the name of a class: --set data.na_labels=class"
    )


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The class that each spelling stands for.

    `merged` says which spellings have become one class, `apart` which have not, but may be one.
    """

    of: Mapping[str, str]
    merged: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


def class_names(counts: Mapping[str, int], *, merge: bool) -> ClassNames:
    """Decide which spellings are one class; `counts` are the images of each spelling.

    Spellings of one normal form C are one class. Those that are equal when `folded` are one class
    only with `merge`: it has the most frequent spelling, of equally frequent ones the first.
    """
    by_form: dict[str, list[str]] = defaultdict(list)
    for spelling in sorted(counts):
        by_form[composed(spelling)].append(spelling)
    images = {name: sum(counts[form] for form in forms) for name, forms in by_form.items()}
    merged, apart = [], []
    forms = [
        f"{name!r} ({' and '.join(_images(counts[form]) for form in group)})"
        for name, group in by_form.items()
        if len(group) > 1
    ]
    if forms:
        merged.append(f"written in more than one Unicode form, and one class: {_some(forms)}")
    groups = _alike(images)
    chosen = {name: name for name in images}
    if groups and merge:
        for group in groups:
            chosen |= dict.fromkeys(group, max(group, key=lambda name: images[name]))
        merged.append(_merged(groups, chosen, images))
    elif groups:
        apart.append(
            "names that differ in letter case or blanks alone, or are the same number, are classes "
            f"of their own: {_some(_spellings(group, images) for group in groups)}; "
            "--set data.merge_labels=true merges them"
        )
    return ClassNames(
        of={form: chosen[name] for name, forms in by_form.items() for form in forms},
        merged=tuple(merged),
        apart=tuple(apart),
    )


def _alike(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of two names or more that are equal when folded, in order."""
    groups: dict[str | Decimal, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[folded(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _merged(groups: list[list[str]], chosen: Mapping[str, str], images: Mapping[str, int]) -> str:
    merged = (
        f"{_spellings([name for name in group if chosen[name] != name], images)} "
        f"into {chosen[group[0]]!r} ({images[chosen[group[0]]]})"
        for group in groups
    )
    return f"data.merge_labels merges {_some(merged)}"


def _spellings(group: list[str], images: Mapping[str, int]) -> str:
    *others, last = (f"{name!r} ({_images(images[name])})" for name in group)
    return f"{', '.join(others)} and {last}" if others else last


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _some(texts: Iterable[str]) -> str:
    texts = list(texts)
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more


def with_one_spelling(source: Source, *, merge: bool) -> Source:
    """Return a source whose classes have one spelling each, ordered by name, with notes.

    `merge` is that of `class_names`, for which the images of all parts are counted.
    """
    counts = np.zeros(len(source.classes), np.int64)
    for part in source.parts.values():
        counts += label_counts(part.labels, len(source.classes))
    names = class_names(dict(zip(source.classes, counts.tolist(), strict=True)), merge=merge)
    notes = tuple(
        Note("data", None, f"{source.spec}: {fact}") for fact in names.merged + names.apart
    )
    classes = tuple(sorted(set(names.of.values())))
    if classes == source.classes:
        return replace(source, notes=source.notes + notes)
    place = {name: i for i, name in enumerate(classes)}
    places_K = np.array([place[names.of[name]] for name in source.classes], np.int64)
    parts = {
        name: replace(part, labels=relabelled(part.labels, places_K, len(classes)))
        for name, part in source.parts.items()
    }
    return replace(source, classes=classes, parts=parts, notes=source.notes + notes)


def matched(names: Iterable[str], classes: Sequence[str], *, fold: bool) -> dict[str, str]:
    """Return the class of a network for each name that means one; other names are left out.

    A name means the class of the same spelling, else of the same normal form C, else with `fold`
    the only class that is equal when folded.
    """
    exact = set(classes)
    by_form: dict[str, str] = {}
    by_fold: dict[str | Decimal, list[str]] = defaultdict(list)
    for name in classes:
        by_form.setdefault(composed(name), name)
        if fold:
            by_fold[folded(name)].append(name)
    classes_of = {}
    for name in names:
        if name in exact:
            classes_of[name] = name
        elif (form := composed(name)) in by_form:
            classes_of[name] = by_form[form]
        elif fold and len(alike := by_fold.get(folded(name), [])) == 1:
            classes_of[name] = alike[0]
    return classes_of
