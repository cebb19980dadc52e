"""Folders of corrupted images in the form of ImageNet-C: CORRUPTION/SEVERITY/CLASS/image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from trickbag.errors import UserError, choices
from trickbag.metrics.corruption import (
    CORRUPTION_GROUPS,
    EXTRA_CORRUPTIONS,
    MAIN_CORRUPTIONS,
    SEVERITIES,
)
from trickbag.paths import expanded, is_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

__all__ = ["Cell", "CorruptedFolder", "missing_cells", "read_corrupted_folder"]

_KNOWN = (*MAIN_CORRUPTIONS, *EXTRA_CORRUPTIONS)


class Cell(NamedTuple):
    """A corruption at a severity from 1 to 5."""

    corruption: str
    severity: int


@dataclass(frozen=True, kw_only=True)
class CorruptedFolder:
    """The folders of images in `root` by corruption and severity, and names of other folders."""

    root: Path
    cells: Mapping[Cell, Path]
    unknown: tuple[str, ...] = ()


def read_corrupted_folder(folder: str | Path, option: str = "source_dir") -> CorruptedFolder:
    """List a folder of corrupted images; no image is read.

    The corruptions lie in it, or in folders that are named after ImageNet-C's groups, as its
    archives have them. Raises UserError if there is no corruption with a severity.
    """
    root = expanded(folder)
    if not str(folder).strip() or not is_folder(root):
        raise UserError(
            f"{option} {str(folder)!r} is no folder",
            "give a folder that holds CORRUPTION/SEVERITY/CLASS, such as fog/1/tench",
        )
    root = root.absolute()
    cells: dict[Cell, Path] = {}
    unknown = []
    for path in _corruption_folders(root):
        severities = [severity for severity in SEVERITIES if is_folder(path / str(severity))]
        if path.name in _KNOWN and severities:
            for severity in severities:
                cells.setdefault(Cell(path.name, severity), path / str(severity))
        else:
            unknown.append(path.name)
    if not cells:
        raise UserError(
            f"{option} {str(folder)!r} holds no folder CORRUPTION/SEVERITY, such as fog/1",
            f"corruptions are {choices(_KNOWN)}; severities 1 to 5",
        )
    return CorruptedFolder(root=root, cells=cells, unknown=tuple(unknown))


def _corruption_folders(root: Path) -> Iterator[Path]:
    """Yield the folders in a folder and in those of its groups, by name; hidden ones left out."""
    for path in _folders(root):
        if path.name in CORRUPTION_GROUPS:
            yield from _folders(path)
        else:
            yield path


def _folders(root: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(root))
    except OSError as error:
        raise UserError(f"cannot read {root}: {error.strerror or error}") from error
    return [root / name for name in names if not name.startswith(".") and is_folder(root / name)]


def missing_cells(
    cells: Collection[Cell], names: Collection[str], severities: Collection[int] = SEVERITIES
) -> str:
    """Name the corruptions and severities that are not there: `fog, snow (4, 5)`; empty if none."""
    texts = []
    for name in names:
        absent = [severity for severity in severities if Cell(name, severity) not in cells]
        if len(absent) == len(severities):
            texts.append(name)
        elif absent:
            texts.append(f"{name} ({', '.join(map(str, absent))})")
    return ", ".join(texts)
