"""CSV files in Kaggle's form: a row for each image, with its label."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.data.decoding.decode import EXTENSIONS
from trickbag.data.labels import several
from trickbag.data.source import DataError, FilePart, Source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ImageFinder", "open_csv"]

_FORM = "a header `image,label` or `id,label`, separated by commas, and a row for each image"


@dataclass(frozen=True)
class _Row:
    line: int
    image: str
    label: str


def open_csv(
    path: Path, spec: str, image_root: Path | None, *, multi_label: bool = False
) -> Source:
    """List a CSV file with the columns `image,label` or `id,label`; other columns are ignored.

    The first column names image files, with or without extension. They are looked for under
    `image_root`; without one beside the CSV file, then in the folder of its name (`train.csv`:
    `train/`). Rows without an image or a label, and images with two different labels, are left out
    and named. With `multi_label` a label is one or several class names, separated by blanks, in any
    order. Raises UserError for a file that is not of this form, and where no image is there at all
    or fewer than two classes.
    """
    columns, rows, warnings = _read(path, spec)
    if image_root is not None and not image_root.is_dir():
        raise UserError(f"data.image_root = {str(image_root)!r} is not a folder")
    base = image_root or path.parent
    finder = ImageFinder(base, ("",) if image_root else ("", path.stem))
    found: dict[str, set[str]] = defaultdict(set)
    left_out = []
    for row in rows:
        name = finder.find(row.image) if row.image else None
        if not row.image or not row.label:
            what = "image" if not row.image else "label"
            left_out.append(
                DataError(
                    row.image or f"{path.name} line {row.line}", f"no {what} in line {row.line}"
                )
            )
        elif name is None:
            left_out.append(DataError(row.image, "no such image file"))
        else:
            found[name].add(" ".join(sorted(set(row.label.split()))) if multi_label else row.label)
    if not found:
        raise _nothing(spec, rows, left_out, base, image_root, path)
    twice = len(rows) - len(left_out) - sum(len(labels) for labels in found.values())
    if twice:
        warnings.append(
            f"{spec}: {twice} rows repeat an image with the same label and are not used"
        )
    for name, labels in found.items():
        if len(labels) > 1:
            left_out.append(DataError(name, f"has different labels: {', '.join(sorted(labels))}"))
    label_of = {name: min(labels) for name, labels in found.items() if len(labels) == 1}
    labels_of = {
        name: label.split() if multi_label else [label] for name, label in label_of.items()
    }
    classes = tuple(sorted({label for labels in labels_of.values() for label in labels}))
    if len(classes) < 2:
        have = f"one class only, {classes[0]!r}" if classes else "no image with one label"
        raise UserError(f"data source {spec!r} has {have}; at least two classes are needed")
    place = {label: i for i, label in enumerate(classes)}
    rows_of = {
        name: [place[label] for label in labels] for name, labels in sorted(labels_of.items())
    }
    part = FilePart.listed(
        base, [(name, finder.size(name), places[0]) for name, places in rows_of.items()]
    )
    if multi_label:
        part = dataclasses.replace(part, labels=several(list(rows_of.values()), len(classes)))
        unlabelled = sum(bool(row.image) and not row.label for row in rows)
        if unlabelled:
            rest = "row has no label and is" if unlabelled == 1 else "rows have no label and are"
            warnings.append(f"{spec}: {unlabelled} {rest} left out: an image needs at least one")
    elif word := _several(classes):
        warnings.append(
            f"{spec}: {word!r} is read as one class; where it is several labels: --set "
            f"data.multi_label=true"
        )
    if finder.ambiguous:
        warnings.append(f"{spec}: {finder.ambiguous}")
    return Source(
        spec=spec,
        classes=classes,
        parts={"train": part},
        columns=columns,
        left_out=tuple(left_out),
        warnings=tuple(warnings),
    )


def _several(classes: tuple[str, ...]) -> str | None:
    """Return a class whose name looks like several labels, if the names, divided at blanks, are
    fewer than before."""
    divided = {word for name in classes for word in name.split()}
    return (
        next((name for name in classes if " " in name), None)
        if len(divided) < len(classes)
        else None
    )


def _nothing(
    spec: str,
    rows: list[_Row],
    left_out: list[DataError],
    base: Path,
    image_root: Path | None,
    path: Path,
) -> UserError:
    if not rows:
        return UserError(f"data source {spec!r} has no rows; it must have {_FORM}")
    where = str(base) if image_root else f"{base} or {base / path.stem}"
    way = (
        "give the images' folder with --image-root"
        if image_root is None
        else "is --image-root right?"
    )
    return UserError(
        f"data source {spec!r}: none of its {len(rows)} images is in {where} "
        f"(the first: {left_out[0].file}: {left_out[0].reason}); {way}"
    )


def _read(path: Path, spec: str) -> tuple[tuple[str, str], list[_Row], list[str]]:
    """Return the names of the two columns, the rows, and warnings; raises UserError for what is no
    such CSV."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next((cells for cells in reader if any(cell.strip() for cell in cells)), None)
            if header is None:
                raise UserError(f"data source {spec!r} is empty; it must have {_FORM}")
            names = [cell.strip() for cell in header]
            image, label = _columns(names, spec)
            rows = [
                _Row(reader.line_num, _cell(cells, image), _cell(cells, label))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except UnicodeDecodeError:
        raise UserError(
            f"data source {spec!r} is not text in UTF-8; save it as CSV UTF-8"
        ) from None
    except csv.Error as error:
        raise UserError(f"data source {spec!r} is not a CSV file: {error}") from None
    except OSError as error:
        raise UserError(f"data source {spec!r} cannot be read: {error.strerror}") from None
    unused = [name for i, name in enumerate(names) if i not in (image, label)]
    warnings = [f"{spec}: columns not used: {', '.join(unused)}"] if unused else []
    return (names[image], names[label]), rows, warnings


def _columns(names: list[str], spec: str) -> tuple[int, int]:
    images = [i for i, name in enumerate(names) if name.lower() in ("image", "id")]
    labels = [i for i, name in enumerate(names) if name.lower() == "label"]
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    shown = ", ".join(names[:6])
    raise UserError(
        f"data source {spec!r} has the columns {shown}: rename them; it must have {_FORM}"
    )


def _cell(cells: list[str], column: int) -> str:
    return cells[column].strip() if column < len(cells) else ""


@dataclass
class ImageFinder:
    """Finds the files that values name, in folders under `base`; each folder is listed once."""

    base: Path
    folders: tuple[str, ...]
    ambiguous: str | None = None
    _listed: dict[str, dict[str, int]] = field(default_factory=dict)
    _by_stem: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, value: str) -> str | None:
        """Return the name, relative to `base`, of the image that a value of the CSV means, or
        None."""
        for folder in self.folders:
            inner, name = os.path.split(
                os.path.normpath(os.path.join(folder, value.replace("\\", "/")))
            )
            files = self._list(inner)
            if name in files and _extension(name) in EXTENSIONS:
                return os.path.join(inner, name)
            if name in self._by_stem[inner]:
                first, *others = self._by_stem[inner][name]
                if others and self.ambiguous is None:
                    self.ambiguous = (
                        f"{name!r} can be {first} or {others[0]}; the first is used, "
                        f"as for all like it"
                    )
                return os.path.join(inner, first)
        return None

    def size(self, name: str) -> int:
        """Return the size in bytes of a file that was found."""
        inner, file = os.path.split(name)
        return self._list(inner)[file]

    def _list(self, inner: str) -> dict[str, int]:
        if inner not in self._listed:
            files: dict[str, int] = {}
            try:
                with os.scandir(self.base / inner) as entries:
                    files = {
                        entry.name: entry.stat().st_size for entry in entries if entry.is_file()
                    }
            except (
                OSError,
                ValueError,
            ):  # a folder that a value names and that is not there: its rows are named
                pass
            self._listed[inner] = files
            stems = self._by_stem[inner] = defaultdict(list)
            for name in sorted(files):
                if _extension(name) in EXTENSIONS and not name.startswith("."):
                    stems[os.path.splitext(name)[0]].append(name)
        return self._listed[inner]


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower()
