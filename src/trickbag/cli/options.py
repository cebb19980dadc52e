"""Options that commands share: optional values, and the file that a command writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["optional", "output_file"]


def optional(kind: Any, text: str | None, option: str) -> Any:
    """Parse the value of an option as a type of `trickbag.settings`; None if it was not given.

    Raises UserError for another value.
    """
    from trickbag.settings import parse

    return None if text is None else parse(kind, text, option)


def output_file(text: str, option: str, source: Path, protected: Sequence[Path] = ()) -> Path:
    """Return the file that a command is to write, checked before anything is computed.

    Raises UserError if it is a folder, its folder does not exist, or it is one of the `protected`
    files or a file of the run that `source` is, or lies in.
    """
    from pathlib import Path

    from trickbag.errors import UserError
    from trickbag.train.folder.run_folder import RunFolder

    path = Path(text).expanduser()
    if path.is_dir():
        raise UserError(f"{option} {text!r} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise UserError(f"{option} {text!r}: there is no folder {path.parent}")
    run = RunFolder(source if source.is_dir() else source.parent)
    files = (run.recipe, run.metrics, run.checkpoint, run.best, run.result, run.predictions)
    # Resolved, so that no link and no other spelling leads to a file of the run.
    if path.exists() and any(path.resolve() == file.resolve() for file in (*files, *protected)):
        raise UserError(f"{option} {text!r} is a file of the run itself; choose another name")
    return path
