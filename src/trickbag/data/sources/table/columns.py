"""Which columns of a table hold images, labels, parts and groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trickbag.data.sources.part_names import part_name
from trickbag.data.sources.table.label_columns import CHOOSE, is_one_hot, label_columns, names_of
from trickbag.data.sources.table.sheet import is_image_name
from trickbag.data.sources.table.vocabulary import flag_value, flagged_part, folded_name, role_of
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trickbag.data.sources.table.finder import ImageFinder
    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["Columns", "Wanted", "find_columns", "image_column", "with_header"]

_SAMPLE = 50
"""Rows whose values are looked up to see whether a column names images."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The columns that settings name; None where they leave it to the table.

    Where they are not `required`, those that a table lacks are as if they had not been named.
    """

    image: str | None = None
    labels: tuple[str, ...] | None = None
    group: str | None = None
    required: bool = True

    def within(self, sheet: Sheet) -> Wanted:
        """Return the columns to take from a table."""
        if self.required:
            return self
        there = {folded_name(name) for name in sheet.names}
        labels = self.labels
        return replace(
            self,
            image=self.image if folded_name(self.image or "") in there else None,
            labels=labels if all(folded_name(name) in there for name in labels or ()) else None,
            group=self.group if folded_name(self.group or "") in there else None,
        )


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The places of columns: that of the images, that of the labels, and others if there are any.

    `labels` is one column of class names, or with `one_hot` a column for each class, with 1 where
    an image has it and 0 where it has not. `facts` are what a person should know about the choice.
    """

    image: int
    labels: tuple[int, ...]
    one_hot: bool = False
    split: int | None = None
    group: int | None = None
    facts: tuple[str, ...] = ()


def find_columns(
    sheet: Sheet, finder: ImageFinder, wanted: Wanted, title: str
) -> tuple[Sheet, Columns]:
    """Find the columns of images and labels, and of parts and groups where a table has them.

    Returns the sheet with its first row among the values if it does not hold names. Raises
    UserError, which begins with `title`, if it is not clear which columns these are.
    """
    sheet = with_header(sheet, finder, wanted)
    wanted = wanted.within(sheet)
    image, image_fact = image_column(sheet, finder, wanted.image, title)
    named = tuple(_named(sheet, name, "label_column", title) for name in wanted.labels or ())
    group = None
    if wanted.group is not None:
        group = _named(sheet, wanted.group, "group_column", title)
    if image in named:
        raise UserError(
            f"{title}: data.image_column and data.label_column are both {sheet.names[image]!r}",
            CHOOSE,
        )
    rest = [i for i in range(len(sheet.names)) if i not in (image, group, *named)]
    split = _split_column(sheet, rest, title)
    if len(named) > 1 and not all(is_one_hot(sheet, i) for i in named):
        raise UserError(
            f"{title}: more than one data.label_column, of which not all hold 0 and 1 alone",
            "name one column of labels, or one of 0 and 1 for each class",
        )
    labels, one_hot, label_fact = named, len(named) > 1, None
    if not named:
        others = [i for i in rest if i != split]
        labels, one_hot, label_fact = label_columns(sheet, others, title)
    facts = [image_fact, label_fact, *_other_facts(sheet, {image, group, split, *labels})]
    if not sheet.has_header:
        names = " and ".join(sheet.names[i] for i in (image, *labels)[:2])
        facts.insert(0, f"the first row has no names of columns: {names} are image and label")
    return sheet, Columns(
        image=image,
        labels=labels,
        one_hot=one_hot,
        split=split,
        group=group,
        facts=tuple(fact for fact in facts if fact),
    )


def with_header(sheet: Sheet, finder: ImageFinder, wanted: Wanted) -> Sheet:
    """Return the sheet with its first row among the values if that does not hold names.

    It holds none if no cell is the usual name of a column or one that a setting names, and one of
    them is the name of an image file, or a number above values that are not 0 and 1 alone.
    """
    if not sheet.separator:
        return sheet
    cells = [name for name in sheet.names if name]
    names = {
        folded_name(name) for name in (wanted.image, wanted.group, *(wanted.labels or ())) if name
    }
    if any(role_of(name)[0] or folded_name(name) in names for name in cells):
        return sheet
    if any(is_image_name(name) or finder.find_directly(name) for name in cells):
        return sheet.without_header()
    # Classes can be called by numbers, in a table with a column for each.
    numbers = [i for i, name in enumerate(sheet.names) if _is_number(name)]
    if any(not is_one_hot(sheet, i) for i in numbers):
        return sheet.without_header()
    return sheet


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def image_column(
    sheet: Sheet, finder: ImageFinder, wanted: str | None, title: str, choose: str = CHOOSE
) -> tuple[int, str | None]:
    """Return the column whose values name images, and what a person should know about the choice.

    It is the one that is `wanted`, else the only one of a usual name, else the only one whose
    values lead to files. Raises UserError, which ends with `choose`, if there is none or two.
    """
    if wanted is not None:
        return _named(sheet, wanted, "image_column", title), None
    usual = [i for i, name in enumerate(sheet.names) if role_of(name)[0] == "image"]
    if len(usual) == 1:
        return usual[0], None
    candidates = usual or [
        i for i, name in enumerate(sheet.names) if role_of(name)[0] in ("", "other")
    ]
    with_files = _with_files(sheet, finder, candidates)
    if usual and not with_files:
        # None leads to a file: `image` is named in the error that follows.
        return min(usual, key=lambda i: (folded_name(sheet.names[i]) != "image", i)), None
    if len(with_files) > 1:
        plain = [i for i in with_files if folded_name(sheet.names[i]) == "image"]
        if len(plain) != 1 and not _same_files(sheet, finder, with_files):
            raise UserError(
                f"{title}: the columns {names_of(sheet, with_files)} can all name images",
                choose,
            )
        with_files = plain if len(plain) == 1 else with_files
    if not with_files:
        raise UserError(
            f"{title} has the columns {names_of(sheet)}, and it is not clear which names images",
            choose,
        )
    column = with_files[0]
    if not sheet.has_header:
        return column, None
    return column, f"the column {sheet.names[column]!r} names the images: its values are files"


def _with_files(sheet: Sheet, finder: ImageFinder, columns: Sequence[int]) -> list[int]:
    """Return the columns whose values lead to files, of which others have few."""
    for find in (finder.find_directly, finder.find):
        counts = {
            i: sum(bool(value) and find(value) is not None for value in _sample(sheet, i))
            for i in columns
        }
        most = max(counts.values(), default=0)
        if most:
            return [i for i in columns if 2 * counts[i] > most]
    return []


def _same_files(sheet: Sheet, finder: ImageFinder, columns: Sequence[int]) -> bool:
    rows = zip(*(map(finder.find, _sample(sheet, i)) for i in columns), strict=True)
    return all(len(set(names)) == 1 for names in rows)


def _sample(sheet: Sheet, column: int) -> list[str]:
    """Return the values of some rows, evenly spread and the same for each column."""
    step = max(len(sheet) // _SAMPLE, 1)
    return [cell.strip() for cell in sheet.cells[column][::step]]


def _named(sheet: Sheet, name: str, setting: str, title: str) -> int:
    """Return the column of a name that a setting gives; UserError if there is none, or two."""
    matches = [i for i, other in enumerate(sheet.names) if other == name]
    if not matches:
        matches = [
            i for i, other in enumerate(sheet.names) if folded_name(other) == folded_name(name)
        ]
    if len(matches) == 1:
        return matches[0]
    problem = f"has {len(matches)} columns {name!r}" if matches else f"has no column {name!r}"
    raise UserError(f"{title} {problem} (data.{setting})", f"its columns are {names_of(sheet)}")


def _split_column(sheet: Sheet, columns: Sequence[int], title: str) -> int | None:
    """Return the column that says which part a row belongs to, None if there is none.

    A column called `split` is one; one called `set` or `part` only if all values are parts, one
    called `is_valid` only if they are true or false, and one without a name only if they are the
    very words for parts.
    """
    split = []
    for i in columns:
        role, doubt = role_of(sheet.names[i])
        flagged = sheet.has_header and flagged_part(sheet.names[i]) is not None
        if role != "split" and not flagged and (sheet.has_header or role):
            continue
        values = set(sheet.column(i))
        names = [part_name(value) for value in values]
        if not any(values):
            continue
        if flagged:
            is_split = all(flag_value(value) is not None for value in values)
        elif role == "split":
            is_split = not doubt or all(names)
        else:
            is_split = all(name is not None and name.rank == 0 for name in names)
        if is_split:
            split.append(i)
    if len(split) > 1:
        raise UserError(
            f"{title} has more than one column of parts: {names_of(sheet, split)}", "keep one"
        )
    return split[0] if split else None


def _other_facts(sheet: Sheet, used: set[int | None]) -> Iterable[str]:
    unused = []
    for i, name in enumerate(sheet.names):
        role = role_of(name)[0]
        if i in used:
            continue
        if role == "fold":
            yield f"the column {name!r} of folds is not used"
        elif role == "group":
            yield (
                f"the column {name!r} is not used; where images of one {name!r} belong together: "
                f"--set data.group_column={name}"
            )
        else:
            unused.append(i)
    if unused:
        yield f"columns not used: {names_of(sheet, unused)}"
