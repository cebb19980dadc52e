"""Lines that a command refuses, and what it must say: the thing, the value and the way out.

In both, {tmp} is a folder that `make_files` fills, {run} a run on a folder, {kaggle} one on a CSV,
{photos} and {table} what these were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

__all__ = ["Check", "wrong_lines"]

Line = tuple[str, list[str]]
Check = Callable[[str, list[str]], None]


def wrong_lines(*tables: Iterable[Line]) -> pytest.MarkDecorator:
    """Call a test with each line of the tables, and what must be said."""
    lines = [line for table in tables for line in table]
    return pytest.mark.parametrize(("line", "says"), lines, ids=lambda value: str(value)[:60])
