"""Folder trees: `train/CLASS/*` with `val/CLASS/*` and `test/CLASS/*` or without, or `CLASS/*`
alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.data.decoding.decode import EXTENSIONS
from trickbag.data.source import FilePart, Source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["open_folder"]

_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def open_folder(root: Path, spec: str) -> Source:
    """List a folder tree; the classes are the names of the class folders, in order.

    Files count as images by their extension, also in folders within a class folder; hidden files
    are ignored. A test folder without class folders has no labels and is not used. Raises UserError
    where nothing can be trained on: no class, a single one, an empty one, a class in val or test
    that train lacks, a folder that cannot be read.
    """
    folders, loose = _entries(root, spec)
    found = _part_folders(folders, spec)
    layout = found or {"train": ""}
    if found and "train" not in found:
        raise UserError(
            f"data source {spec!r} has the folder {next(iter(found.values()))!r}, but none named "
            f"'train'"
        )
    warnings = []
    unused = sorted(set(folders) - set(found.values())) if found else []
    if unused:
        warnings.append(f"{spec}: not used, because beside 'train': {', '.join(unused[:5])}")
    if loose and not found:
        warnings.append(f"{spec}: {loose} images outside of any class folder are not used")
    files: dict[str, dict[str, list[tuple[str, int]]]] = {}
    for part, folder in layout.items():
        names, loose = _entries(root / folder, spec) if folder else (folders, loose)
        if not names and part == "test":
            warnings.append(
                f"{spec}: {folder!r} has no class folders, so it has no labels and is not used"
            )
            continue
        if not names:
            has = f"{loose} images but no class folders" if loose else "no class folders"
            raise UserError(
                f"data source {spec!r}: {folder or 'the folder'} has {has}; images belong in "
                f"CLASS/IMAGE"
            )
        if folder and loose:
            warnings.append(
                f"{spec}: {loose} images in {folder!r} outside of any class folder are not used"
            )
        files[part] = {name: sorted(_images(root, Path(folder) / name, spec)) for name in names}
    classes = _classes(files, layout, spec)
    parts = {part: _part(root, listing, classes) for part, listing in files.items()}
    return Source(spec=spec, classes=classes, parts=parts, warnings=tuple(warnings))


def _entries(folder: Path, spec: str) -> tuple[list[str], int]:
    """Return the names of the folders within a folder, ordered, and the number of images beside
    them."""
    folders, images = [], 0
    for entry in _scan(folder, spec):
        if _is_folder(entry):
            folders.append(entry.name)
        elif _is_image(entry.name):
            images += 1
    return sorted(folders), images


def _scan(folder: Path, spec: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise UserError(
            f"data source {spec!r}: {folder} cannot be read: {error.strerror}"
        ) from None


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _part_folders(folders: list[str], spec: str) -> dict[str, str]:
    """Return the folder of each part that is there."""
    found: dict[str, str] = {}
    for part, names in _PARTS.items():
        here = [folder for folder in folders if folder.lower() in names]
        if len(here) > 1:
            raise UserError(
                f"data source {spec!r} has several folders for {part}: {', '.join(here)}; keep one"
            )
        if here:
            found[part] = here[0]
    return found


def _images(root: Path, folder: Path, spec: str) -> Iterator[tuple[str, int]]:
    """Give name and size of the images in a folder and those within it, each once: links can go in
    circles."""
    waiting, seen = [folder], {_identity(root / above) for above in (folder, *folder.parents)}
    while waiting:
        inner = waiting.pop()
        for entry in _scan(root / inner, spec):
            if _is_folder(entry):
                identity = _identity(root / inner / entry.name)
                if identity not in seen:
                    seen.add(identity)
                    waiting.append(inner / entry.name)
            elif _is_image(entry.name):
                yield (inner / entry.name).as_posix(), _size(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nothing: it is listed, and left out with its reason by the check
        return -1


def _classes(
    files: dict[str, dict[str, list[tuple[str, int]]]], layout: dict[str, str], spec: str
) -> tuple[str, ...]:
    for part, listing in files.items():
        if not any(listing.values()):
            raise UserError(
                f"data source {spec!r} has no image in {layout[part] or 'its class folders'}"
            )
        empty = [
            (Path(layout[part]) / name).as_posix() for name, images in listing.items() if not images
        ]
        if empty:
            raise UserError(
                f"data source {spec!r}: no image in {_some(empty)}; add images or remove the folder"
            )
    classes = tuple(sorted(files["train"]))
    for part, listing in files.items():
        unknown = sorted(set(listing) - set(classes))
        if unknown:
            raise UserError(
                f"data source {spec!r}: {layout[part]} has classes that {layout['train']} has not: "
                f"{_some(unknown)}"
            )
    if len(classes) < 2:
        raise UserError(
            f"data source {spec!r} has one class only, {classes[0]!r}; at least two are needed"
        )
    return classes


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _part(
    root: Path, listing: dict[str, list[tuple[str, int]]], classes: tuple[str, ...]
) -> FilePart:
    rows = [
        (name, size, classes.index(label))
        for label in sorted(listing)
        for name, size in listing[label]
    ]
    return FilePart.listed(root, rows)
