"""The setting `data.parts`: which folders of a source are its parts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trickbag.errors import UserError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["as_folder", "as_setting", "check_parts_setting", "given_folders"]

_PARTS = ("train", "val", "test")
_FORM = "PART:FOLDER,..., PART being train, val or test, FOLDER in the source (`.` for all of it)"


def as_folder(name: str) -> str:
    """Return what a folder is called in the setting; the source itself is `.`."""
    return name or "."


def as_setting(folders: Sequence[tuple[str, str]], *, more: bool = False) -> str:
    """Return the option with which folders are parts, of (part, folder); `more` are to be added."""
    items = [f"{part}:{as_folder(folder)}" for part, folder in folders]
    text = f"data.parts={','.join([*items, *(['...'] if more else [])])}"
    return f"--set {shlex.quote(text)}"


def check_parts_setting(items: Sequence[str]) -> None:
    """Raise UserError unless `items` are of the form PART:FOLDER, with one for train at least.

    FOLDER is relative to the source. `*` as one of its names stands for each class: `*/train`.
    """
    folders: dict[str, str] = {}
    for item in items:
        part, _, text = item.partition(":")
        steps = _steps(text)
        if part not in _PARTS or not text.strip() or text.startswith("/") or ".." in steps:
            raise UserError(f"data.parts: {shown(item)} is not of the form {_FORM}")
        if any("*" in step and step != "*" for step in steps) or steps.count("*") > 1:
            raise UserError(
                f"data.parts: {shown(item)}: `*` stands for the name of each class, once",
                "such as train:*/train",
            )
        folder = "/".join(steps)
        if folder in folders:
            raise UserError(
                f"data.parts names the folder {as_folder(folder)!r} twice: "
                f"{folders[folder]} and {part}",
                "an image belongs to one part",
            )
        folders[folder] = part
    if "train" not in folders.values():
        raise UserError(
            f"data.parts = {','.join(items)} names no folder to train with", f"it is {_FORM}"
        )


def _steps(text: str) -> list[str]:
    return [step for step in text.strip().replace("\\", "/").split("/") if step not in ("", ".")]


def given_folders(items: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield part and folder of each item, the folder relative to the source, "" for all of it."""
    for item in items:
        part, _, text = item.partition(":")
        yield part, "/".join(_steps(text))
