"""The form of a competition's sample file: its columns, and what predictions fill them with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from trickbag.data.class_names import matched
from trickbag.data.sources.table.vocabulary import folded_name, role_of
from trickbag.errors import UserError
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["SampleColumns", "SampleFile", "sample_columns"]

_NAMED = 5
_LOOKED_AT = 1000
"""The most rows whose labels are compared with the names of classes."""


@dataclass(frozen=True, kw_only=True)
class SampleColumns:
    """Which columns of a sample file are filled, by their places; the others are copied.

    `label` is the place of the column of labels, `classes` the class of each column that has its
    probability. A file that is no sample has neither. `facts` are what a person should know.
    """

    label: int | None = None
    classes: Mapping[int, str] | None = None
    facts: tuple[str, ...] = ()


def sample_columns(
    sheet: Sheet,
    images: int,
    classes: tuple[str, ...],
    *,
    title: str,
    label_name: str | None = None,
    label_separator: str | None = None,
) -> SampleColumns:
    """Decide what predictions fill the columns of a file with, beside the column `images`.

    If each of them is named as a class, each gets the probability of its class; otherwise the
    column of the label, by its name (`label_name` is that of the training data) or as the only one,
    gets the label. `label_separator` divides several labels of an image. Raises UserError, with
    `title`, if some columns are named as classes and others are not.
    """
    others = [i for i in range(len(sheet.names)) if i != images]
    class_of = _classes_by_column(sheet, others, classes, title)
    # Row numbers, sizes and the like are copied.
    others = [i for i in others if i in class_of or role_of(sheet.names[i])[0] != "other"]
    label = _label_column(sheet, others, label_name)
    if others and len(class_of) == len(others) and (len(others) > 1 or label is None):
        return SampleColumns(classes=class_of, facts=_class_facts(sheet, class_of, classes, title))
    if label is None and class_of:
        unknown = [repr(sheet.names[i]) for i in others if i not in class_of]
        known = set(class_of.values())
        missing = [repr(name) for name in classes if name not in known]
        rest = f" (without a column: {_some(missing)})" if missing else ""
        raise UserError(
            f"{title} has columns that are no classes of the network: {_some(unknown)}{rest}",
            "remove these columns, or train with images of these classes",
        )
    if label is None and len(others) == 1:
        label = others[0]
    if label is not None:
        facts = _label_facts(sheet.cells[label], sheet.names[label], classes, label_separator)
        shares = {i: name for i, name in class_of.items() if i != label}
        if not shares or len(shares) < len(others) - 1:
            return SampleColumns(label=label, facts=facts)
        facts += _class_facts(sheet, shares, classes, title)
        return SampleColumns(label=label, classes=shares, facts=facts)
    if others:
        names = _some([repr(sheet.names[i]) for i in others])
        fact = (
            f"{title} is no sample, and its columns are not copied: neither a label nor classes of "
            f"the network: {names}"
        )
        return SampleColumns(facts=(fact,))
    return SampleColumns()


def _classes_by_column(
    sheet: Sheet, others: Sequence[int], classes: tuple[str, ...], title: str
) -> dict[int, str]:
    # Without a header no column has a name.
    if not sheet.has_header:
        return {}
    classes_of = matched([sheet.names[i] for i in others], classes, fold=True)
    class_of = {i: classes_of[sheet.names[i]] for i in others if sheet.names[i] in classes_of}
    columns: dict[str, int] = {}
    for i, name in class_of.items():
        first = columns.setdefault(name, i)
        if first != i and len(class_of) == len(others):
            raise UserError(
                f"{title} has two columns of the class {name!r}: {sheet.names[first]!r} and "
                f"{sheet.names[i]!r}",
                "keep one",
            )
    return class_of


def _label_column(sheet: Sheet, others: Sequence[int], label_name: str | None) -> int | None:
    """Return the place of the only column that is named as one of labels."""
    if not sheet.has_header:
        return others[0] if len(others) == 1 else None
    if label_name is not None:
        folded = folded_name(label_name)
        same = [i for i in others if folded_name(sheet.names[i]) == folded]
        if len(same) == 1:
            return same[0]
    ranks = {i: role_of(sheet.names[i])[1] for i in others if role_of(sheet.names[i])[0] == "label"}
    plainest = [i for i in ranks if ranks[i] == min(ranks.values())]
    return plainest[0] if len(plainest) == 1 else None


def _class_facts(
    sheet: Sheet, class_of: Mapping[int, str], classes: tuple[str, ...], title: str
) -> tuple[str, ...]:
    facts, named = [], set(class_of.values())
    if missing := [repr(name) for name in classes if name not in named]:
        facts.append(
            f"{title} has no column for {_some(missing)}: their probabilities are left out"
        )
    if respelled := [
        f"{sheet.names[i]!r} for {name!r}"
        for i, name in class_of.items()
        if composed(sheet.names[i]) != composed(name)
    ]:
        facts.append(f"columns in another spelling than the classes: {_some(respelled)}")
    return tuple(facts)


def _label_facts(
    cells: Sequence[str], column: str, classes: tuple[str, ...], label_separator: str | None
) -> tuple[str, ...]:
    """Say where the labels of a sample are written in another way than the names of the classes."""
    values = {cell.strip() for cell in islice(cells, _LOOKED_AT)} - {""}
    if label_separator is not None:
        values = {label.strip() for value in values for label in value.split(label_separator)}
    if not values or values & set(classes):
        return ()
    example = min(values)
    same = matched([example], classes, fold=True).get(example)
    known = f"it stands for {same!r}" if same else f"these are {_some([*map(repr, classes)])}"
    return (
        f"{example!r}, a value of the column {column}, is no class of the network: {known}; the "
        "names of its classes are written",
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


@dataclass(frozen=True, kw_only=True)
class SampleFile:
    """A competition's sample file, whose rows predictions fill one by one.

    Its header, its rows and their order stay, and so do all cells that predictions do not fill.
    """

    sheet: Sheet
    columns: SampleColumns
    classes: tuple[str, ...]

    @property
    def separator(self) -> str:
        """What divides the cells of a line; a comma for a sample in Parquet."""
        return self.sheet.separator or ","

    def row(self, place: int, shares: Sequence[float], label: str) -> list[str]:
        """Return the cells of row `place`, with the label or the probabilities of the classes.

        Without `shares`, the K probabilities, the cells to be filled are empty.
        """
        cells = [column[place] for column in self.sheet.cells]
        if self.columns.label is not None:
            cells[self.columns.label] = label
        for i, k in self._places:
            cells[i] = f"{shares[k]:.8g}" if shares else ""
        return cells

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """The place of each class's column, and of the class among the network's."""
        index = {name: k for k, name in enumerate(self.classes)}
        return [(i, index[name]) for i, name in (self.columns.classes or {}).items()]
