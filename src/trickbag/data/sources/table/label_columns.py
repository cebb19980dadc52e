"""Which columns of a table hold labels: one of class names, or for each class one of 0 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.data.sources.table.vocabulary import role_of
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["CHOOSE", "is_one_hot", "label_columns", "names_of", "rows_with_one"]

CHOOSE = "choose with --set data.image_column=NAME and --set data.label_column=NAME"
"""What to do if it is not clear which columns are meant."""

_NAMED = 10
"""The most columns that a message names."""

_ONES, _ZEROS = {"1", "1.0", "1,0", "true"}, {"0", "0.0", "0,0", "false", ""}


def label_columns(
    sheet: Sheet, columns: Sequence[int], title: str
) -> tuple[tuple[int, ...], bool, str | None]:
    """Return the column of labels, or those of one class each; whether they are such; a fact."""
    by_doubt: dict[int, list[int]] = {0: [], 1: [], 2: []}
    unknown = []
    for i in columns:
        role, doubt = role_of(sheet.names[i])
        if role == "label":
            by_doubt[doubt].append(i)
        elif not role:
            unknown.append(i)
    usual = next((group for group in by_doubt.values() if group), [])
    if len(usual) == 1:
        return tuple(usual), False, None
    candidates = usual or unknown
    one_hot = tuple(i for i in candidates if is_one_hot(sheet, i)) if len(candidates) > 1 else ()
    if len(one_hot) > 1 and (len(one_hot) == len(candidates) or _one_each(sheet, one_hot)):
        fact = f"a column for each class, of 0 and 1: {names_of(sheet, one_hot)}"
        return one_hot, True, fact
    if len(candidates) == 1:
        if not sheet.has_header:
            return tuple(candidates), False, None
        name = sheet.names[candidates[0]]
        return (
            tuple(candidates),
            False,
            f"the column {name!r} is the label: no other is left for it",
        )
    if usual:
        problem = f": the columns {names_of(sheet, usual)} can all be the label"
    else:
        problem = f" has the columns {names_of(sheet)}, and it is not clear which is the label"
    raise UserError(title + problem, CHOOSE)


def is_one_hot(sheet: Sheet, column: int) -> bool:
    """Tell whether a column holds 0 and 1 alone; a blank is 0."""
    values = {cell.strip().lower() for cell in set(sheet.cells[column])}
    return bool(values & _ONES or values - {""}) and values <= _ONES | _ZEROS


def _one_each(sheet: Sheet, columns: Sequence[int]) -> bool:
    """Tell whether each row has exactly one 1 in these columns."""
    rows = sorted(row for column in columns for row in rows_with_one(sheet, column))
    return rows == list(range(len(sheet)))


def rows_with_one(sheet: Sheet, column: int) -> list[int]:
    """Return the rows in which a class's column says that the image has the class."""
    cells = sheet.cells[column]
    ones = {cell for cell in set(cells) if cell.strip().lower() in _ONES}
    return [row for row, cell in enumerate(cells) if cell in ones]


def names_of(sheet: Sheet, columns: Sequence[int] | None = None) -> str:
    """Write the names of columns for a message; nameless ones by their place."""
    places = range(len(sheet.names)) if columns is None else columns
    names = [sheet.names[i] or f"column {i + 1}" for i in places]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
