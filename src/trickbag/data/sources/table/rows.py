"""The rows of a table, gathered by the image that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.source import DataError, PassedOver
from trickbag.data.sources.outside import OUTSIDE
from trickbag.data.sources.part_names import PART_WORDS, part_name
from trickbag.data.sources.table.vocabulary import flag_value, flagged_part
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.data.sources.table.columns import Columns
    from trickbag.data.sources.table.finder import ImageFinder
    from trickbag.data.sources.table.labels import RowLabels
    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["Images", "RowContent", "read_rows", "unlabelled_rows"]


class RowContent(NamedTuple):
    """What a row says of its image: class names in order, its part, and its group, "" for none."""

    labels: tuple[str, ...]
    part: str
    group: str


@dataclass(kw_only=True)
class Images:
    """The images that the rows of a table name.

    entries: of the images that can be used, by name. left_out: rows and images that cannot. named:
    all images that a row names. parts: those that rows belong to. repeated: rows that say once more
    what another row says. joined: images with a row for each of their labels. contradicted: images
    whose rows have different labels. unlabelled: what rows without a label name. unused: what
    rows of the test part name, if none of them has a label.
    """

    entries: dict[str, RowContent] = field(default_factory=dict)
    left_out: list[DataError] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    repeated: int = 0
    joined: int = 0
    contradicted: int = 0
    unlabelled: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def facts(self, *, multi_label: bool) -> Iterator[str]:
        """Yield what a person should know about the rows."""
        if self.repeated:
            yield f"{self.repeated} rows repeat an image with the same label and are not used"
        if self.joined:
            images = "1 image has" if self.joined == 1 else f"{self.joined:,} images have"
            yield f"{images} a row for each label, and all of these labels"
        if self.contradicted and not multi_label:
            images = (
                "1 image has" if self.contradicted == 1 else (f"{self.contradicted:,} images have")
            )
            yield (
                f"{images} rows with different labels, and no row of these is used; where an image "
                "may have several labels: --set data.multi_label=true"
            )
        if multi_label and all(len(entry.labels) == 1 for entry in self.entries.values()):
            yield (
                "every image has one label (data.multi_label); where something else divides the "
                "labels in a cell: --set data.label_separator=TEXT"
            )
        if self.unlabelled and multi_label:
            count = len(self.unlabelled)
            rest = "row has no label and is" if count == 1 else "rows have no label and are"
            yield f"{count:,} {rest} left out: an image needs at least one"
        if self.unused:
            yield f"the {len(self.unused)} rows of the test part have no labels and are not used"


def read_rows(
    sheet: Sheet,
    columns: Columns,
    labels: RowLabels,
    finder: ImageFinder,
    *,
    title: str,
    file_name: str,
    multi_label: bool,
    refuse_outside: bool,
) -> Images:
    """Find the image of each row, and gather what the rows say of it.

    Raises UserError, which begins with `title`, for an unknown name of a part.
    """
    parts = _parts(sheet, columns, title)
    labelled = zip(labels.rows, parts, strict=True)
    has_test_labels = any(names for names, part in labelled if part == "test")
    images = Images(parts=set(parts) if has_test_labels else set(parts) - {"test"})
    groups = [""] * len(sheet) if columns.group is None else sheet.column(columns.group)
    long = set(sheet.long)
    more: dict[str, list[RowContent]] = {}
    rows = zip(sheet.column(columns.image), labels.rows, parts, groups, strict=True)
    for i, (value, names, part, group) in enumerate(rows):
        name = finder.find(value, part) if value else None
        if name is not None:
            images.named.add(name)
        if not names and part == "test" and not has_test_labels:
            images.unused.append(name or value)
        elif value and not names and i not in long:
            images.unlabelled.append(name or value)
        elif name is None or not names or i in long or (refuse_outside and finder.is_outside(name)):
            where = value or f"{file_name} {sheet.place} {sheet.lines[i]}"
            reason = _reason(sheet, i, value, name, finder, part)
            images.left_out.append(DataError(where, reason))
        else:
            entry = RowContent(names, part, group)
            first = images.entries.setdefault(name, entry)
            if first is not entry:
                more.setdefault(name, [first]).append(entry)
    for name, entries in more.items():
        _settle(images, name, entries, labels.separator, multi_label=multi_label)
    return images


def unlabelled_rows(images: Images) -> list[PassedOver]:
    """Return what the rows without a label name; they are no damage to the data."""
    kinds = (
        PassedOver("no label", "its row has no label", tuple(images.unlabelled)),
        # As the images of a test folder without class folders.
        PassedOver(
            "without labels", "is of a test part without labels", tuple(images.unused), ignored=True
        ),
    )
    # Another row can have given the image a label.
    kept = [
        kind._replace(
            files=tuple(name for name in dict.fromkeys(kind.files) if name not in images.entries)
        )
        for kind in kinds
    ]
    return [kind for kind in kept if kind.files]


def _reason(
    sheet: Sheet,
    row: int,
    value: str,
    name: str | None,
    finder: ImageFinder,
    part: str,
) -> str:
    """Say why a row is left out."""
    line = f"{sheet.place} {sheet.lines[row]}"
    if not value:
        return f"no image in {line}"
    if row in sheet.long:
        return (
            f"{line} has more cells than the first line: put quotes around a cell that holds "
            f"{sheet.separator!r}"
        )
    return finder.reason(value, part) if name is None else OUTSIDE


def _parts(sheet: Sheet, columns: Columns, title: str) -> Sequence[str]:
    """Return the part of each row, as its column of parts says; `train` if there is none."""
    if columns.split is None:
        return ["train"] * len(sheet)
    cells = sheet.column(columns.split)
    if flagged := flagged_part(sheet.names[columns.split]):
        # Of a column `is_train` the other rows are what training does not see.
        other = "val" if flagged == "train" else "train"
        return [flagged if flag_value(cell) else other for cell in cells]
    names = {cell: part_name(cell) for cell in set(cells)}
    parts = {cell: name.part if name else "" for cell, name in names.items()}
    if unknown := sorted(cell for cell, part in parts.items() if not part):
        row = cells.index(unknown[0])
        more = f", and {len(unknown) - 1} other values" if len(unknown) > 1 else ""
        allowed = "; ".join(f"{part}: {', '.join(words)}" for part, words in PART_WORDS.items())
        raise UserError(
            f"{title}: {sheet.names[columns.split]} = {unknown[0]!r} in {sheet.place} "
            f"{sheet.lines[row]}{more}: no part is called so",
            f"the names of parts are, in any case: {allowed}",
        )
    return [parts[cell] for cell in cells]


def _settle(
    images: Images, name: str, entries: list[RowContent], separator: str, *, multi_label: bool
) -> None:
    """Decide on an image that has more than one row: leave it out if they contradict each other."""
    images.repeated += len(entries) - len(set(entries))
    labels = {entry.labels for entry in entries}
    parts = sorted({entry.part for entry in entries})
    groups = sorted({entry.group for entry in entries})
    by_label = multi_label and all(len(names) == 1 for names in labels)
    if len(labels) > 1 and by_label:
        images.joined += 1
        together = tuple(sorted({label for names in labels for label in names}))
        images.entries[name] = images.entries[name]._replace(labels=together)
        labels = {together}
    if len(labels) > 1:
        mark = separator if separator in ("|", ";", ",") else " "
        images.contradicted += 1
        reason = f"has different labels: {', '.join(sorted(map(mark.join, labels)))}"
    elif len(parts) > 1:
        reason = f"has rows in more than one part: {', '.join(parts)}"
    elif len(groups) > 1:
        reason = f"has different groups: {', '.join(map(repr, groups))}"
    else:
        return
    del images.entries[name]
    images.left_out.append(DataError(name, reason))
