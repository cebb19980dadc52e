"""Tables as sources: a row for each image, with its label."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.labels import multi_hot
from trickbag.data.source import FilePart, Source
from trickbag.data.sources.outside import OUTSIDE
from trickbag.data.sources.table.columns import Wanted, find_columns
from trickbag.data.sources.table.finder import ImageFinder
from trickbag.data.sources.table.labels import BLANK, multi_label_name, read_labels
from trickbag.data.sources.table.rows import read_rows, unlabelled_rows
from trickbag.data.sources.table.sheet import read_sheet
from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.data.config import DataConfig
    from trickbag.data.sources.table.columns import Columns
    from trickbag.data.sources.table.labels import RowLabels
    from trickbag.data.sources.table.rows import Images
    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["open_table", "table_finder"]

FORM = "it must have a column of images, a column of labels, and a row for each image"


def open_table(
    path: Path, data: DataConfig, roots: Sequence[Path], *, strict: bool = True
) -> Source:
    """List a CSV or Parquet file in which each row names an image and its label.

    The settings of `data` name the columns; what they leave open is found, see `find_columns` and
    `read_labels`. Images are named with or without extension. They are looked for in `roots`;
    without one, beside the table and then in the folder of its name (`train.csv`: `train/`); where
    they do not lie there, in the folders within. Rows without an image or a label, and images of
    which rows say different things, are left out and named. Images outside of these folders are
    left out too if `data.outside` refuses them, else noted. Unless it is `strict`, columns that
    settings name may be missing.

    Raises UserError for a file that is not of this form, and if no image has a label.
    """
    title = f"data source {data.source!r}"
    finder = table_finder(path, roots)
    table = _read(path, data, finder, title, strict=strict)
    images, columns = table.images, table.columns
    if not images.entries:
        raise _no_image(title, path, roots, len(table.sheet), images)
    parts, classes = _parts(
        finder, images, multi_label=data.multi_label, has_groups=columns.group is not None
    )
    if missing := sorted(images.parts - set(parts)):
        first = [f" (the first row left out: {file}: {why})" for file, why in images.left_out[:1]]
        raise UserError(
            f"{title}: no image of the part {missing[0]} can be used{''.join(first)}",
            "are all images there, and do they have labels?",
        )
    label = "label" if columns.one_hot else table.sheet.names[columns.labels[0]]
    separator, unnamed = table.labels.separator, finder.unnamed(images.named)
    return Source(
        spec=data.source,
        classes=classes,
        parts=parts,
        # Made-up names are nothing to write.
        columns=(table.sheet.names[columns.image], label) if table.sheet.has_header else None,
        # Between names without blanks a blank is enough.
        label_separator=None if separator in ("", BLANK) else separator,
        left_out=tuple(images.left_out),
        passed_over=(*([unnamed] if unnamed else []), *unlabelled_rows(images)),
        notes=tuple(
            Note("data", None, f"{data.source}: {fact}")
            for fact in _facts(table, data, finder, classes)
        ),
    )


class _Table(NamedTuple):
    """A table as it was read."""

    sheet: Sheet
    columns: Columns
    labels: RowLabels
    images: Images


def _read(path: Path, data: DataConfig, finder: ImageFinder, title: str, *, strict: bool) -> _Table:
    """Read a table, find its columns, and gather what its rows say of each image."""
    sheet = read_sheet(path, title, FORM)
    if not len(sheet):
        raise UserError(f"{title} has no rows", FORM)
    names = data.label_column
    wanted = Wanted(
        image=data.image_column,
        labels=(names,) if isinstance(names, str) else names,
        group=data.group_column,
        required=strict,
    )
    sheet, columns = find_columns(sheet, finder, wanted, title)
    labels = read_labels(sheet, columns, data, title)
    images = read_rows(
        sheet,
        columns,
        labels,
        finder,
        title=title,
        file_name=path.name,
        multi_label=data.multi_label,
        refuse_outside=data.outside == "refuse",
    )
    return _Table(sheet, columns, labels, images)


def _facts(
    table: _Table, data: DataConfig, finder: ImageFinder, classes: Sequence[str]
) -> Iterator[str]:
    """Yield what a person should know about a table."""
    yield from table.columns.facts
    yield from table.labels.facts
    yield from table.images.facts(multi_label=data.multi_label)
    if not data.multi_label and (name := multi_label_name(classes)):
        yield (
            f"{name!r} is read as one class; where it is several labels: "
            "--set data.multi_label=true"
        )
    yield from finder.facts(table.images.entries)
    if data.outside == "read":
        yield from _outside_fact(finder, table.images)


def table_finder(path: Path, roots: Sequence[Path]) -> ImageFinder:
    """Return what finds the images of a table: in `roots`, or beside the table.

    Raises UserError for a root that is no folder.
    """
    for root in roots:
        if not root.is_dir():
            raise UserError(f"data.image_root = {str(root)!r} is not a folder")
    if not roots:
        return ImageFinder(path.parent, ("", path.stem), home=path.stem)
    if len(roots) == 1:
        return ImageFinder(roots[0], ("",))
    base = Path(os.path.commonpath([os.path.abspath(root) for root in roots]))
    folders = (os.path.relpath(root, base) for root in roots)
    unique = tuple(dict.fromkeys("" if folder == "." else folder for folder in folders))
    return ImageFinder(base, unique, roots=tuple(roots), all_alike=True)


def _parts(
    finder: ImageFinder, images: Images, *, multi_label: bool, has_groups: bool
) -> tuple[dict[str, FilePart], tuple[str, ...]]:
    """Return the parts of images with their labels, and the classes, ordered by name."""
    classes = tuple(sorted({name for entry in images.entries.values() for name in entry.labels}))
    index = {name: i for i, name in enumerate(classes)}
    names_of: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    # By name: the same rows in another order are the same data, with the same fingerprint.
    for name in sorted(images.entries):
        names_of[images.entries[name].part].append(name)
    parts = {}
    for part, names in names_of.items():
        if not names:
            continue
        entries = [images.entries[name] for name in names]
        indices = [[index[label] for label in entry.labels] for entry in entries]
        parts[part] = FilePart(
            names=tuple(names),
            labels=multi_hot(indices, len(classes))
            if multi_label
            else np.array([first for first, *_ in indices], np.int64),
            sizes=np.array([finder.size(name) for name in names], np.int64),
            groups=tuple(entry.group for entry in entries) if has_groups else (),
            root=os.path.abspath(finder.base),
        )
    return parts, classes


def _outside_fact(finder: ImageFinder, images: Images) -> Iterator[str]:
    """Say how many images lie outside of the folder of the images; nothing where none does."""
    outside = sorted(name for name in images.entries if finder.is_outside(name))
    if outside:
        verb = "image lies" if len(outside) == 1 else "images lie"
        yield (
            f"{len(outside)} {verb} outside of {finder.base}, such as {outside[0]}; "
            "--set data.outside=refuse leaves them out"
        )


def _no_image(
    title: str, path: Path, roots: Sequence[Path], rows: int, images: Images
) -> UserError:
    """Return the error for a table without a usable row."""
    if not images.left_out:
        return UserError(f"{title} has no image with a label", FORM)
    first = images.left_out[0]
    why = f"(the first: {first.file}: {first.reason})"
    if images.named and first.reason != OUTSIDE:
        many = "where an image may have several labels: --set data.multi_label=true"
        way_out = many if images.contradicted and not images.joined else FORM
        return UserError(f"{title}: none of its {rows} rows can be used {why}", way_out)
    places = ", ".join(map(str, roots)) or f"{path.parent} or {path.parent / path.stem}"
    return UserError(
        f"{title}: none of its {rows} images is in {places} {why}",
        "is --image-root right?" if roots else "give the images' folder with --image-root",
    )
