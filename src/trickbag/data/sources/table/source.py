"""CSV files in Kaggle's form: a row for each image, with its label."""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trickbag.data.labels import multi_hot
from trickbag.data.source import DataError, FilePart, Source
from trickbag.data.sources.outside import OUTSIDE
from trickbag.data.sources.table.finder import ImageFinder
from trickbag.errors import Note, UserError
from trickbag.paths import TABLE, open_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["open_csv"]

_FORM = "a header `image,label` or `id,label`, separated by commas, and a row for each image"


@dataclass(frozen=True)
class _Row:
    line: int
    image: str
    label: str


@dataclass(frozen=True)
class _Table:
    """What a CSV file holds; `columns` are the names of the image's and the label's column."""

    columns: tuple[str, str]
    unused: tuple[str, ...]
    rows: tuple[_Row, ...]


def open_csv(
    path: Path,
    spec: str,
    image_root: Path | None,
    *,
    multi_label: bool = False,
    outside: Literal["read", "refuse"] = "read",
) -> Source:
    """List a CSV file with the columns `image,label` or `id,label`; other columns are ignored.

    The first column names image files, with or without extension. They are looked for in
    `image_root`; without one, beside the CSV file and then in the folder of its name (`train.csv`:
    `train/`). Rows without an image or a label, and images with different labels, are left out and
    named. With `multi_label` a label is one or several class names, separated by blanks, in any
    order. Images `outside` of these folders are left out too with `refuse`, else noted.

    Raises UserError for a file that is not of this form, and if no image has a label.
    """
    table = _read(path, spec)
    if image_root is not None and not image_root.is_dir():
        raise UserError(f"data.image_root = {str(image_root)!r} is not a folder")
    base = image_root or path.parent
    finder = ImageFinder(base, ("",) if image_root else ("", path.stem))
    labels_of, left_out = _labels_by_image(
        table, finder, path.name, multi_label=multi_label, refuse=outside == "refuse"
    )
    if not labels_of:
        places = str(base) if image_root else f"{base} or {base / path.stem}"
        raise _no_image(spec, table, left_out, places, has_root=image_root is not None)
    repeated = len(table.rows) - len(left_out) - sum(len(labels) for labels in labels_of.values())
    for name, labels in labels_of.items():
        if len(labels) > 1:
            reason = f"has different labels: {', '.join(sorted(labels))}"
            left_out.append(DataError(name, reason))
    label_of = {name: min(labels) for name, labels in labels_of.items() if len(labels) == 1}
    classes, part = _labelled_part(base, finder, label_of, multi_label=multi_label)
    if not classes:
        raise UserError(f"data source {spec!r} has no image with one label")
    facts = [*_facts(table, classes, repeated, finder.ambiguous, multi_label=multi_label)]
    if outside == "read":
        facts += _outside_fact(part.names, finder)
    return Source(
        spec=spec,
        classes=classes,
        parts={"train": part},
        columns=table.columns,
        left_out=tuple(left_out),
        notes=tuple(Note("data", None, f"{spec}: {fact}") for fact in facts),
    )


def _labels_by_image(
    table: _Table, finder: ImageFinder, file_name: str, *, multi_label: bool, refuse: bool
) -> tuple[dict[str, set[str]], list[DataError]]:
    """Return the different labels of each image that exists, and the rows that are left out."""
    labels_of: dict[str, set[str]] = defaultdict(set)
    left_out = []
    for row in table.rows:
        name = finder.find(row.image) if row.image else None
        if not row.image or not row.label:
            missing = "image" if not row.image else "label"
            where = row.image or f"{file_name} line {row.line}"
            left_out.append(DataError(where, f"no {missing} in line {row.line}"))
        elif name is None:
            left_out.append(DataError(row.image, "no such image file"))
        elif refuse and finder.is_outside(name):
            left_out.append(DataError(row.image, OUTSIDE))
        else:
            # Class names in one order, so that `cat dog` and `dog cat` are the same label.
            label = " ".join(sorted(set(row.label.split()))) if multi_label else row.label
            labels_of[name].add(label)
    return labels_of, left_out


def _labelled_part(
    base: Path, finder: ImageFinder, label_of: Mapping[str, str], *, multi_label: bool
) -> tuple[tuple[str, ...], FilePart]:
    """Return the classes, ordered by name, and the part of images with their labels."""
    names_of = {name: label.split() if multi_label else [label] for name, label in label_of.items()}
    classes = tuple(sorted({name for names in names_of.values() for name in names}))
    index = {name: i for i, name in enumerate(classes)}
    indices_of = {image: [index[name] for name in names] for image, names in names_of.items()}
    # By name: the same rows in another order are the same data, with the same fingerprint.
    images = sorted(indices_of)
    part = FilePart.listed(
        base, [(image, finder.size(image), indices_of[image][0]) for image in images]
    )
    if multi_label:
        labels = multi_hot([indices_of[image] for image in images], len(classes))
        part = dataclasses.replace(part, labels=labels)
    return classes, part


def _facts(
    table: _Table,
    classes: tuple[str, ...],
    repeated: int,
    ambiguous: str | None,
    *,
    multi_label: bool,
) -> Iterator[str]:
    """Yield what a person should know about a CSV file."""
    if table.unused:
        yield f"columns not used: {', '.join(table.unused)}"
    if repeated:
        yield f"{repeated} rows repeat an image with the same label and are not used"
    if multi_label:
        unlabelled = sum(bool(row.image) and not row.label for row in table.rows)
        if unlabelled:
            rest = "row has no label and is" if unlabelled == 1 else "rows have no label and are"
            yield f"{unlabelled} {rest} left out: an image needs at least one"
    elif name := _multi_label_name(classes):
        yield (
            f"{name!r} is read as one class; where it is several labels: "
            "--set data.multi_label=true"
        )
    if ambiguous:
        yield ambiguous


def _outside_fact(names: tuple[str, ...], finder: ImageFinder) -> list[str]:
    """Say how many images lie outside of the folder of the images; nothing where none does."""
    outside = [name for name in names if finder.is_outside(name)]
    if not outside:
        return []
    verb = "image lies" if len(outside) == 1 else "images lie"
    return [
        f"{len(outside)} {verb} outside of {finder.base}, such as {outside[0]}; "
        "--set data.outside=refuse leaves them out"
    ]


def _multi_label_name(classes: tuple[str, ...]) -> str | None:
    """Return a class name that looks like several labels, None if there is none.

    Names with blanks are usual (`golden retriever`). They look like several labels if the same
    words come back in other names, so that there are fewer words than names.
    """
    words = {word for name in classes for word in name.split()}
    if len(words) >= len(classes):
        return None
    return next((name for name in classes if " " in name), None)


def _no_image(
    spec: str, table: _Table, left_out: list[DataError], places: str, *, has_root: bool
) -> UserError:
    if not table.rows:
        return UserError(f"data source {spec!r} has no rows", f"it must have {_FORM}")
    first = left_out[0]
    return UserError(
        f"data source {spec!r}: none of its {len(table.rows)} images is in {places} "
        f"(the first: {first.file}: {first.reason})",
        "is --image-root right?" if has_root else "give the images' folder with --image-root",
    )


def _read(path: Path, spec: str) -> _Table:
    """Read the rows of a CSV file; raises UserError for what is no such file."""
    try:
        with open_text(path, TABLE, "utf-8-sig") as file:
            reader = csv.reader(file)
            header = next((cells for cells in reader if any(cell.strip() for cell in cells)), None)
            if header is None:
                raise UserError(f"data source {spec!r} is empty", f"it must have {_FORM}")
            names = [cell.strip() for cell in header]
            image, label = _columns(names, spec)
            rows = tuple(
                _Row(reader.line_num, _cell(cells, image), _cell(cells, label))
                for cells in reader
                if any(cell.strip() for cell in cells)
            )
    except UnicodeDecodeError:
        raise UserError(
            f"data source {spec!r} is not text in UTF-8", "save it as CSV UTF-8"
        ) from None
    except csv.Error as error:
        raise UserError(f"data source {spec!r} is not a CSV file: {error}") from None
    except OSError as error:
        raise UserError(f"data source {spec!r} cannot be read: {error.strerror}") from None
    unused = tuple(name for i, name in enumerate(names) if i not in (image, label))
    return _Table((names[image], names[label]), unused, rows)


def _columns(names: list[str], spec: str) -> tuple[int, int]:
    images = [i for i, name in enumerate(names) if name.lower() in ("image", "id")]
    labels = [i for i, name in enumerate(names) if name.lower() == "label"]
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    first = ", ".join(names[:6])
    raise UserError(
        f"data source {spec!r} has the columns {first}: rename them", f"it must have {_FORM}"
    )


def _cell(cells: list[str], column: int) -> str:
    return cells[column].strip() if column < len(cells) else ""
