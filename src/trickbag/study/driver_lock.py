"""The lock of a folder in which one driver works at a time: a study's, or a search's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from trickbag.errors import UserError
from trickbag.locks import locked_folder, refusal
from trickbag.paths import is_folder

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.errors import Note
    from trickbag.train.folder.caller import Caller

__all__ = ["driver_lock"]


@contextlib.contextmanager
def driver_lock(path: Path, what: str, caller: Caller, *, started: bool) -> Iterator[Note | None]:
    """Create a folder and be its only driver meanwhile; the lock ends with its process.

    `what` names what it holds, such as `study`; `started` tells whether it does. Gives a note where
    the disk has no locks. Raises UserError where the folder cannot be created or locked, holds
    something else, or another driver works in it.
    """
    # Hidden files may be there: a file manager's, or the lock of what never began.
    if not started and is_folder(path) and any(not name.startswith(".") for name in _names(path)):
        raise UserError(f"{path} is not empty and holds no {what}", f"choose another {caller.out}")

    def refuse(holder: str) -> NoReturn:
        raise refusal(holder, path, caller.out)

    with locked_folder(path, refuse) as note:
        # Of a driver that was killed while it wrote.
        for leftover in path.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                leftover.unlink()
        yield note


def _names(path: Path) -> Iterator[str]:
    return (entry.name for entry in path.iterdir())
