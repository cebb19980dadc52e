"""Policy files: a learned policy as JSON, with what is known of how it was found."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from trickbag.data.policies.magnitudes import LEVELS, Operation
from trickbag.data.policies.policies import MAX_COUNT, Table
from trickbag.errors import UserError, choices, shown
from trickbag.files import parse_json_object, read_text, write_json
from trickbag.paths import FileKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trickbag.data.policies.policies import Step

__all__ = ["SCHEMA", "SPACE", "PolicyFile", "read_table"]

SCHEMA = 1
"""Version of a policy file."""

SPACE = "autoaugment"
"""The space whose operations and magnitudes, 0 to 9, a file has: ranges `standard`."""

_KIND = FileKind("a policy", 2**20)
_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
_STEP = '[operation, probability, magnitude], such as ["rotate", 0.7, 4]'
_FORM = f'it has "schema": {SCHEMA} and "table": a list of rows, each a list of {_STEP}'


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """What a policy file holds: the table of a learned policy.

    `found_by` has free facts about the search that found it, as plain data.
    """

    table: Table
    space: str = SPACE
    found_by: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of the file."""
        table = [[list(step) for step in row] for row in self.table]
        return {
            "schema": SCHEMA,
            "space": self.space,
            "table": table,
            "found_by": dict(self.found_by),
        }

    @classmethod
    def from_dict(cls, data: object, place: object = "a policy file") -> PolicyFile:
        """Read plain data; UserError for anything else, with `place`, row, step and value."""
        if not isinstance(data, dict):
            raise UserError(f"{place}: it must be a JSON object, not {shown(data)}", _FORM)
        parts = {"schema", "space", "table", "found_by"}
        for key in data:
            if key not in parts:
                raise UserError(f"{place}: a policy has no part {shown(key)}", choices(parts))
        for key, known in (("schema", SCHEMA), ("space", SPACE)):
            value = data.get(key, SPACE if key == "space" else None)
            if value != known or isinstance(value, bool):
                raise UserError(
                    f"{place}: {key} = {shown(value)}: this version of trickbag reads policies of "
                    f"{key} {known}",
                    _FORM,
                )
        found_by = data.get("found_by", {})
        if not isinstance(found_by, dict):
            raise UserError(f"{place}: found_by = {shown(found_by)}: must be a JSON object")
        return cls(table=_read_table(data.get("table"), place), found_by=found_by)

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: Path) -> PolicyFile:
        """Read a file; UserError if there is none, or it is no policy."""
        text = read_text(path, _KIND)
        if text is None:
            raise UserError(f"there is no policy file {path}", "`trickbag search autoaugment`")
        return cls.from_dict(parse_json_object(text, path), path)


def read_table(path: Path) -> Table:
    """Return the table of a policy file; UserError as `PolicyFile.read`."""
    return PolicyFile.read(path).table


def _read_table(data: object, place: object) -> Table:
    if not isinstance(data, list) or not data:
        what = "is empty" if data == [] else f"= {shown(data)}"
        raise UserError(f"{place}: table {what}: it must be a list of rows", _FORM)
    return tuple(_read_row(row, f"{place}: row {i}") for i, row in enumerate(data, 1))


def _read_row(row: object, place: str) -> tuple[Step, ...]:
    if not isinstance(row, list) or not 1 <= len(row) <= MAX_COUNT:
        raise UserError(f"{place} = {shown(row)}: must be a list of 1 to {MAX_COUNT} steps", _FORM)
    return tuple(_read_step(step, f"{place}, step {i}") for i, step in enumerate(row, 1))


def _read_step(step: object, place: str) -> Step:
    if not isinstance(step, list) or len(step) != 3:
        raise UserError(f"{place} = {shown(step)}: must be {_STEP}")
    operation, probability, magnitude = step
    if operation not in _OPERATIONS:
        raise UserError(f"{place}: there is no operation {shown(operation)}", _nearest(operation))
    if not _is_number(probability) or not 0 <= probability <= 1:
        raise UserError(f"{place}: probability = {_value(probability)}: must be from 0 to 1")
    highest = LEVELS["standard"]
    if not _is_number(magnitude) or magnitude not in range(highest + 1):
        raise UserError(
            f"{place}: magnitude = {_value(magnitude)}: must be a whole number from 0 to {highest}"
        )
    return operation, float(probability), int(magnitude)


def _is_number(value: object) -> bool:
    # In Python a bool is an int.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> str:
    # What is read of NaN and of infinity is None.
    return "null, NaN or infinite" if value is None else shown(value)


def _nearest(operation: object) -> str:
    """Return the names nearest to one, the papers' (`ShearX`) included; else all."""
    names = {name.replace("_", ""): name for name in _OPERATIONS}
    key = str(operation)[:50].replace("_", "").lower()
    near = [names[each] for each in difflib.get_close_matches(key, names, n=3)]
    return f"did you mean {' or '.join(near)}?" if near else f"there are: {choices(_OPERATIONS)}"
