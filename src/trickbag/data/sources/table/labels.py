"""The labels of a table's rows: a class name, several in a cell, or a column for each class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.data.class_names import class_names, is_missing, missing_labels_fact
from trickbag.data.sources.table.label_columns import rows_with_one
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trickbag.data.config import DataConfig
    from trickbag.data.sources.table.columns import Columns
    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["BLANK", "RowLabels", "multi_label_name", "read_labels"]

BLANK = "blank"
"""The word for a run of blanks in `data.label_separator`."""

_SEPARATORS = ("|", ";", ",")
_TITLES = {BLANK: "blanks"}


@dataclass(frozen=True, kw_only=True)
class RowLabels:
    """The labels of each row: class names in order, of which there may be none.

    `separator` divides the labels of a cell; it is empty if a cell holds one. Each class has one
    spelling, see `class_names`.
    """

    rows: Sequence[tuple[str, ...]]
    separator: str = ""
    facts: tuple[str, ...] = ()


def read_labels(sheet: Sheet, columns: Columns, data: DataConfig, title: str) -> RowLabels:
    """Read the labels of each row.

    With `data.multi_label` a cell holds one or several names, divided by `data.label_separator`,
    else by `|`, `;` or `,` if one of these stands in the cells, else by blanks. A table with a row
    for each label of an image has one name in a cell. Raises UserError, which begins with `title`,
    if two of the separators stand in the cells, or if rows of a column for each class have more
    than one without `data.multi_label`.
    """
    if columns.one_hot:
        return _one_hot(sheet, columns.labels, title, multi_label=data.multi_label)
    cells = sheet.column(columns.labels[0])
    counts = Counter(cells)
    missing = {cell: counts[cell] for cell in counts if is_missing(cell, na_labels=data.na_labels)}
    facts = [fact] if (fact := missing_labels_fact(missing)) else []
    texts = [cell for cell in counts if cell not in missing]
    if not data.multi_label:
        names: dict[str, tuple[str, ...]] = {cell: (cell,) for cell in texts}
        names, merged = _with_one_spelling(names, counts, merge=data.merge_labels)
        return RowLabels(rows=_looked_up(cells, names), facts=(*facts, *merged))
    bare = _without_brackets(texts)
    repeats = _has_rows_by_label(sheet.cells[columns.image], cells)
    separator = data.label_separator or _separator(bare.values(), title, repeats=repeats)
    names = {cell: _divided(text, separator) for cell, text in bare.items()}
    if any(len(labels) > 1 for labels in names.values()):
        facts.append(f"labels are divided at {_TITLES.get(separator, repr(separator))}")
    names, merged = _with_one_spelling(names, counts, merge=data.merge_labels)
    return RowLabels(rows=_looked_up(cells, names), separator=separator, facts=(*facts, *merged))


def _with_one_spelling(
    names: Mapping[str, tuple[str, ...]], rows: Mapping[str, int], *, merge: bool
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Give each class in the cells one spelling, and say what that merges; `rows` count the cells.

    It is done before rows are compared: two spellings of a class contradict each other in nothing.
    """
    counts: Counter[str] = Counter()
    for cell, labels in names.items():
        counts.update(dict.fromkeys(labels, rows[cell]))
    spelling = class_names(counts, merge=merge)
    spelled = {
        cell: tuple(sorted({spelling.of[label] for label in labels}))
        for cell, labels in names.items()
    }
    return spelled, spelling.merged


def _looked_up(cells: Iterable[str], names: Mapping[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [names.get(cell, ()) for cell in cells]


def _one_hot(sheet: Sheet, columns: Sequence[int], title: str, *, multi_label: bool) -> RowLabels:
    """Read a column for each class, whose name is that of the column."""
    labels_of: list[list[str]] = [[] for _ in range(len(sheet))]
    for column in sorted(columns, key=sheet.names.__getitem__):
        for row in rows_with_one(sheet, column):
            labels_of[row].append(sheet.names[column])
    # Equal labels share one tuple: of many rows there are few different ones.
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    rows = [shared.setdefault(labels, labels) for labels in map(tuple, labels_of)]
    first = next((i for i, labels in enumerate(rows) if len(labels) > 1), None)
    if first is not None and not multi_label:
        raise UserError(
            f"{title}: {sheet.place} {sheet.lines[first]} has more than one class: "
            f"{', '.join(rows[first])}",
            "where images have several labels: --set data.multi_label=true",
        )
    return RowLabels(rows=rows)


def _without_brackets(texts: Iterable[str]) -> dict[str, str]:
    """Return each cell without the brackets and quotes of a list; as it is if not all have them."""
    texts = list(texts)
    if texts and all(text[0] == "[" and text[-1] == "]" and len(text) > 1 for text in texts):
        return {text: text[1:-1].replace("'", "").replace('"', "") for text in texts}
    return {text: text for text in texts}


def _has_rows_by_label(images: Sequence[str], cells: Sequence[str]) -> bool:
    """Tell whether images have several rows with different labels."""
    return len(set(zip(images, cells, strict=True))) > len(set(images))


def _separator(texts: Iterable[str], title: str, *, repeats: bool) -> str:
    """Return what divides the labels in cells; empty if each holds one."""
    texts = list(texts)
    present = [mark for mark in _SEPARATORS if any(mark in text for text in texts)]
    if len(present) > 1:
        raise UserError(
            f"{title}: its labels hold {' and '.join(map(repr, present))}, and it is not clear "
            "which of them divides the labels of an image",
            f"choose with --set data.label_separator={present[0]}",
        )
    if present:
        return present[0]
    # Where an image has a row for each label, blanks are more likely within names.
    if repeats and multi_label_name(texts) is None:
        return ""
    return BLANK


def _divided(text: str, separator: str) -> tuple[str, ...]:
    """Return the labels in a cell, each once and in one order: `dog cat` is `cat dog`."""
    if not separator:
        return (text,)
    parts = text.split() if separator == BLANK else text.split(separator)
    return tuple(sorted({part.strip() for part in parts if part.strip()}))


def multi_label_name(names: Sequence[str]) -> str | None:
    """Return a class name that looks like several labels, None if there is none.

    Names with blanks are usual (`golden retriever`), and some have commas. They look like several
    labels if the same words come back in other names, for blanks and commas so often that there are
    fewer words than names.
    """
    for separator in (*_SEPARATORS, BLANK):
        divided = {name: _divided(name, separator) for name in names}
        words = Counter(word for parts in divided.values() for word in parts)
        # In a name a blank or a comma is usual, `|` and `;` are not.
        limit = len(names) if separator in (",", BLANK) else words.total()
        if len(words) < limit:
            return next((name for name, parts in divided.items() if len(parts) > 1), None)
    return None
