"""How a message names weights and classes, a few of them where they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["listed", "shape_text", "some"]

_EXAMPLES = 3


def listed(problem: str, names: Iterable[str]) -> list[str]:
    """Return a problem with its first few names, `unknown a, b, c and 2 more`, as a list of one.

    Without names the list is empty.
    """
    every = list(names)
    return [f"{problem} {some(every)}"] if every else []


def some(names: Sequence[str]) -> str:
    """Return the first few of the names: `a, b, c and 2 more`."""
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return f"{', '.join(names[:_EXAMPLES])}{more}"


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as a message has it: `64x3x7x7`."""
    return "x".join(map(str, shape)) or "scalar"
