"""How an error message names weights that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["listed", "shape_text"]

_EXAMPLES = 3


def listed(problem: str, names: Iterable[str]) -> list[str]:
    """Return a problem with its first few names, `unknown a, b, c and 2 more`, as a list of one.

    Without names the list is empty.
    """
    every = list(names)
    more = f" and {len(every) - _EXAMPLES} more" if len(every) > _EXAMPLES else ""
    return [f"{problem} {', '.join(every[:_EXAMPLES])}{more}"] if every else []


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as a message has it: `64x3x7x7`."""
    return "x".join(map(str, shape)) or "scalar"
