"""What the commands share of a terminal: progress on stderr, and names that cannot disturb the
lines they stand in."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["aligned", "checking_progress", "name_some", "printable", "warn"]


def printable(text: str) -> str:
    """Return a text as it can stand in one line: control characters and undecodable bytes are
    written as escapes."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def warn(command: str, text: str) -> None:
    """Write one line to stderr."""
    print(f"trickbag {command}: {printable(text)}", file=sys.stderr)


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of many: `a, b, c and 7 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write rows as lines whose columns begin under each other; the last column has any length."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max((len(row[i]) for row in table if i < len(row) - 1), default=0)
        for i in range(max(map(len, table), default=0))
    ]
    for row in table:
        cells = [cell.ljust(widths[i]) if i < len(row) - 1 else cell for i, cell in enumerate(row)]
        yield "  ".join(cells).rstrip()


@contextlib.contextmanager
def checking_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows on stderr how many images have been checked, where that is a terminal; else
    None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("checking images")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
