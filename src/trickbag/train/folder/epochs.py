"""The epochs of a run: the lines of `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.files import json_numbers, parse_json_object, read_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Epoch", "read_epochs"]

Epoch = Mapping[str, float | None]
"""A line of `metrics.jsonl`: numbers by name, None where undefined; `epoch` counts from 1."""


def read_epochs(file: Path, most: int | None = None) -> tuple[Epoch, ...]:
    """Read `metrics.jsonl`; empty if there is none.

    With `most` no line behind so many epochs is looked at. Raises UserError if a line is damaged;
    the message names the line.
    """
    epochs: list[Epoch] = []
    for number, line in enumerate((read_text(file) or "").splitlines(), 1):
        if not line.strip():
            continue
        if len(epochs) == most:
            break
        place = f"cannot read {file}: line {number}"
        epoch = json_numbers(parse_json_object(line, file, number), place)
        if not isinstance(epoch.get("epoch"), int):
            raise UserError(f"{place}: epoch = {epoch.get('epoch')!r}: must be a whole number")
        epochs.append(epoch)
    return tuple(epochs)
