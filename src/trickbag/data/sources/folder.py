"""Folder trees: `train/CLASS/*`, with or without `val/CLASS/*` and `test/CLASS/*`, or `CLASS/*`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trickbag.data.decoding.decode import EXTENSIONS
from trickbag.data.source import DataError, FilePart, Source
from trickbag.data.sources.outside import OUTSIDE, is_beyond
from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["open_folder"]

_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}

_NAMED = 5
"""The most folders that a message names."""

Listing = dict[str, list[tuple[str, int]]]
"""The images of a part: (name relative to the root, size in bytes) of each file, by class."""


def open_folder(root: Path, spec: str, *, outside: Literal["read", "refuse"] = "read") -> Source:
    """List a folder tree; the classes are the names of the class folders, in order.

    Files count as images by their extension, also in folders within a class folder. Hidden files
    are ignored. A test folder without class folders has no labels and is not used. Images `outside`
    of the tree, to which links lead, are left out with `refuse`.

    Raises UserError if nothing can be trained on: no class, an empty class, a folder that cannot be
    read.
    """
    folders, loose = _entries(root, spec)
    part_folders = _part_folders(folders, spec)
    layout = part_folders or {"train": ""}
    facts = []
    left_out: list[DataError] = []
    if part_folders:
        unused = sorted(set(folders) - set(part_folders.values()))
        if unused:
            facts.append(f"not used, because beside 'train': {', '.join(unused[:_NAMED])}")
    elif loose:
        facts.append(f"{loose} images outside of any class folder are not used")
    files: dict[str, Listing] = {}
    for part, folder in layout.items():
        names, loose = _entries(root / folder, spec) if folder else (folders, loose)
        if not names and part == "test":
            facts.append(f"{folder!r} has no class folders, so it has no labels and is not used")
            continue
        if not names:
            content = f"{loose} images but no class folders" if loose else "no class folders"
            raise UserError(
                f"data source {spec!r}: {folder or 'the folder'} has {content}",
                "images belong in CLASS/IMAGE",
            )
        if folder and loose:
            facts.append(f"{loose} images in {folder!r} outside of any class folder are not used")
        # A file system lists in any order; seeds and fingerprint need the same one everywhere.
        files[part] = {}
        for name in names:
            images = _images(root, Path(folder) / name, spec)
            if outside == "refuse":
                images = _within(root, images, left_out)
            files[part][name] = sorted(images)
    classes = _classes(files, layout, spec)
    return Source(
        spec=spec,
        classes=classes,
        parts={part: _part(root, listing, classes) for part, listing in files.items()},
        left_out=tuple(left_out),
        notes=tuple(Note("data", None, f"{spec}: {fact}") for fact in facts),
    )


def _entries(folder: Path, spec: str) -> tuple[list[str], int]:
    """Return the names of a folder's inner folders, ordered, and the number of images in it."""
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
            # macOS puts its metadata into `__MACOSX` folders of the archives that it makes.
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise UserError(
            f"data source {spec!r}: {folder} cannot be read: {error.strerror}"
        ) from None


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _part_folders(folders: list[str], spec: str) -> dict[str, str]:
    """Return the folder of each part that has one; none at all if the tree has no parts."""
    part_folders: dict[str, str] = {}
    for part, names in _PARTS.items():
        matches = [folder for folder in folders if folder.lower() in names]
        if len(matches) > 1:
            raise UserError(
                f"data source {spec!r} has several folders for {part}: {', '.join(matches)}",
                "keep one",
            )
        if matches:
            part_folders[part] = matches[0]
    if part_folders and "train" not in part_folders:
        other = next(iter(part_folders.values()))
        raise UserError(f"data source {spec!r} has the folder {other!r}, but none named 'train'")
    return part_folders


def _images(root: Path, folder: Path, spec: str) -> Iterator[tuple[str, int]]:
    """Yield name and size of the images in a folder and in the folders within it."""
    # Links can go in circles, also through a folder above: each folder is listed once.
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


def _within(
    root: Path, images: Iterator[tuple[str, int]], left_out: list[DataError]
) -> Iterator[tuple[str, int]]:
    """Yield the images that lie within the tree; put the others into `left_out`."""
    for name, size in images:
        if is_beyond(root / name, root):
            left_out.append(DataError(name, OUTSIDE))
        else:
            yield name, size


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        # A link to nothing: it is listed, so that the check leaves it out and names it.
        return -1


def _classes(files: dict[str, Listing], layout: dict[str, str], spec: str) -> tuple[str, ...]:
    """Return the classes; raises UserError if a part has not one image of each of its classes."""
    for part, listing in files.items():
        if not any(listing.values()):
            place = layout[part] or "its class folders"
            raise UserError(f"data source {spec!r} has no image in {place}")
        empty = [
            (Path(layout[part]) / name).as_posix() for name, images in listing.items() if not images
        ]
        if empty:
            raise UserError(
                f"data source {spec!r}: no image in {_first_names(empty)}",
                "add images or remove the folder",
            )
    # That train has each of them is checked for all sources alike, by `require_trainable`.
    return tuple(sorted({name for listing in files.values() for name in listing}))


def _first_names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _part(root: Path, listing: Listing, classes: tuple[str, ...]) -> FilePart:
    rows = [
        (name, size, classes.index(label))
        for label in sorted(listing)
        for name, size in listing[label]
    ]
    return FilePart.listed(root, rows)
