"""Output of the commands: lines for a terminal, and progress on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from trickbag.text import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from trickbag.data.source import DataError

__all__ = [
    "aligned",
    "checking_progress",
    "image_progress",
    "left_out_lines",
    "name_some",
    "print_json",
    "print_line",
    "printable",
    "stopped_at_report",
    "warn",
]

_NAMED_FILES = 20
_LINE_EVERY_S = 30.0


def warn(command: str, text: str) -> None:
    """Write a line to stderr."""
    print(f"trickbag {command}: {printable(text)}", file=sys.stderr)


@contextlib.contextmanager
def stopped_at_report(folder: Path, kind: str) -> Iterator[None]:
    """Say of a signal that comes while the page is written that the run or study has finished."""
    from trickbag.errors import Stopped

    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped while the report was written; the {kind} in {folder} is finished",
            f"`trickbag report {folder}` writes it",
        ) from None


def print_line(text: str) -> None:
    """Write a line to stdout; it is one, whatever the names in it hold."""
    print(printable(text))


def print_json(data: Any) -> None:
    """Write plain data to stdout as indented JSON."""
    import json

    print(json_text(json.dumps(data, indent=2, ensure_ascii=False)))


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of many: `a, b, c and 7 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write rows as lines with aligned columns; the last column has any length."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max((len(row[i]) for row in table if i < len(row) - 1), default=0)
        for i in range(max(map(len, table), default=0))
    ]
    for row in table:
        cells = [cell.ljust(widths[i]) if i < len(row) - 1 else cell for i, cell in enumerate(row)]
        yield "  ".join(cells).rstrip()


def left_out_lines(left_out: Sequence[DataError], most: int = _NAMED_FILES) -> Iterator[str]:
    """Write how many files were left out, and the first ones with their reasons."""
    yield f"left out: {len(left_out)} files" if left_out else "left out: none"
    yield from aligned([f"  {file}", reason] for file, reason in left_out[:most])
    if len(left_out) > most:
        yield f"  and {len(left_out) - most} more: --json names them all"


def checking_progress() -> contextlib.AbstractContextManager[Callable[[int, int], None]]:
    """Give a function that shows on stderr how many images have been checked."""
    return image_progress("checking images", "checked")


@contextlib.contextmanager
def image_progress(task: str, verb: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows on stderr how many images of how many are done.

    In a terminal it is a bar that `task` names; elsewhere, as in a log file, it is a line now and
    then that begins with `verb`.
    """
    from trickbag.train.folder.log import live_console

    console = live_console(sys.stderr)
    if console is None:
        yield _progress_lines(verb)
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        number = bar.add_task(task)

        def show(done: int, total: int) -> None:
            bar.update(number, completed=done, total=total)

        yield show


def _progress_lines(
    verb: str = "checked", every_s: float = _LINE_EVERY_S
) -> Callable[[int, int], None]:
    """Return a function that writes the progress as a line, at most once in so many seconds."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            print(f"{verb} {done:,} of {total:,} images", file=sys.stderr, flush=True)

    return show
