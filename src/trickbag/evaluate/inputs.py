"""The images that a user names for prediction: files, folders, globs, or the rows of a CSV file."""

from __future__ import annotations

import glob
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.data.decoding.formats import FORMAT_NAMES
from trickbag.data.passed_over import (
    PassedOverFiles,
    Reason,
    accounting,
    files_within,
    ignored,
    is_image,
    reason_of,
)
from trickbag.data.sources import is_pack, is_table
from trickbag.data.sources.folder.tree import Tree
from trickbag.data.sources.table.columns import Wanted, image_column, with_header
from trickbag.data.sources.table.finder import ImageFinder
from trickbag.data.sources.table.sheet import read_sheet
from trickbag.errors import UserError
from trickbag.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.data.source import PassedOver
    from trickbag.data.sources.table.sheet import Sheet

__all__ = ["Inputs", "find_inputs"]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Images in the order in which they are predicted.

    `names` are those that the user gave, or the rows of a table. A path is None if there is no
    such image for a row, and `reasons` says why, else it is empty. `csv` is the table, if there is
    one, `sheet` what it holds, `column` the place of its column with the names, and `id_column` the
    name of this column, empty if its columns have none. `outside` are the names of images that lie
    outside of all folders where they are looked for. `facts` say where else images were.
    `passed_over` is what lies in the folders and is no image.
    """

    names: tuple[str, ...]
    paths: tuple[Path | None, ...]
    reasons: tuple[str, ...] = ()
    csv: Path | None = None
    sheet: Sheet | None = None
    column: int = 0
    id_column: str = ""
    outside: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


def find_inputs(
    given: Sequence[str], *, image_roots: Sequence[Path] = (), id_column: str | None = None
) -> Inputs:
    """Find the images that are given as files, folders, globs, or the rows of one table.

    A folder means all images in it and in the folders within. The rows of a table name images in
    the column `id_column`, else in that of a usual name; they are looked up in `image_roots`, in
    the folders given beside the table, in its own folder, and in the folder of its name. An image
    that is named twice is taken once, unless a table names it. Raises UserError if something does
    not exist or is no image.
    """
    passed_over = PassedOverFiles()
    paths = [path for text in given for path in _expand(text, passed_over)]
    tables = [path for path in paths if is_table(path.name) and not path.is_dir()]
    packs = [path for path in paths if is_pack(path.name) and not path.is_dir()]
    if packs:
        raise UserError(
            f"{packs[0]} is a pack of labelled images, and predictions are for image files",
            f"`trickbag evaluate RUN --data {packs[0]}` evaluates its images",
        )
    if len(tables) > 1:
        raise UserError(f"{tables[0]} and {tables[1]} are both CSV files: give one at a time")
    if tables:
        others = [path for path in paths if path != tables[0]]
        files = [path for path in others if not path.is_dir()]
        if files:
            raise UserError(
                f"with {tables[0]}, which names the images, only folders can be given, "
                f"not {files[0]}"
            )
        return _from_table(tables[0], others, image_roots, id_column)
    if image_roots:
        raise UserError(
            f"--image-root {image_roots[0]} says where the images of a CSV file lie, "
            "but no CSV file is given"
        )
    images: dict[str, Path] = {}
    for path in paths:
        for file in _images(path, passed_over):
            images.setdefault(os.path.abspath(file), file)
    return Inputs(
        names=tuple(map(str, images.values())),
        paths=tuple(images.values()),
        reasons=("",) * len(images),
        passed_over=passed_over.records(),
    )


def _expand(text: str, passed_over: PassedOverFiles) -> list[Path]:
    """Return the path that a text is, or the sorted paths that match it as a glob.

    What matches and is neither image nor folder is added to `passed_over`.
    """
    path = expanded(text)
    try:
        path = _in_existing_form(path)
        if path.exists():  # a name with brackets is a file before it is a glob
            return [path]
        if path.is_symlink():
            raise UserError(f"{text} is a link to a file that is not there: {os.readlink(path)}")
        if not glob.has_magic(text):
            raise UserError(
                f"no file or folder {text!r}; give images, folders, globs or a CSV file"
            )
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {text!r}: {getattr(error, 'strerror', None) or error}"
        ) from error
    kept: list[Path] = []
    others: list[Path] = []
    for path in matches:
        is_meant = ignored(path.name) is None
        is_kept = is_meant and (path.is_dir() or is_image(str(path), path.name))
        (kept if is_kept else others).append(path)
    if not kept:
        raise UserError(
            f"the glob {text!r} matches {'no image or folder' if matches else 'nothing'}"
        )
    for path in others:
        files = [f"{path}{inner}" for inner in files_within(str(path))]
        passed_over.add(ignored(path.name) or reason_of(path.name), files)
    return kept


def _in_existing_form(path: Path) -> Path:
    """Return a path in the Unicode form in which it exists; as it is if it exists in none.

    What is typed is composed, and file systems can have it decomposed.
    """
    if not path.exists() and not str(path).isascii():
        for form in ("NFC", "NFD"):
            other = Path(unicodedata.normalize(form, str(path)))
            if other.exists():
                return other
    return path


def _images(path: Path, passed_over: PassedOverFiles) -> Iterator[Path]:
    """Yield a file itself, or the images in a folder and in the folders within, ordered by name.

    What else lies in a folder is added to `passed_over`.
    """
    if not path.is_dir():
        yield path
        return
    tree = Tree.at(path, str(path))
    others = PassedOverFiles()
    empty = True
    for folder in tree.walk(""):
        tree.pass_over(folder, others)
        for name in tree.folder(folder).images:
            empty = False
            yield path / folder / name
    records = others.records()
    if empty:
        instead = f", {accounting(0, records).partition(', ')[2]}" if records else ""
        raise UserError(f"the folder {path} holds no image ({FORMAT_NAMES}){instead}")
    for record in records:
        reason = Reason(record.kind, record.reason, record.ignored)
        passed_over.add(reason, [str(path / file) for file in record.files])


def _from_table(
    table: Path, folders: list[Path], image_roots: Sequence[Path], id_column: str | None
) -> Inputs:
    sheet = read_sheet(table, str(table), "it must have a column that names images")
    for root in image_roots:
        if not root.is_dir():
            raise UserError(f"--image-root {root} is no folder")
    roots = [*image_roots, *folders]
    # Made absolute, a folder stays itself when the finder joins it to its base.
    finder = ImageFinder(
        table.parent,
        (*(os.path.abspath(root) for root in roots), "", table.stem),
        home=table.stem,
        roots=(*roots, table.parent),
    )
    wanted = Wanted(image=id_column, required=False)
    sheet = with_header(sheet, finder, wanted)
    if not len(sheet):
        raise UserError(f"{table} has no rows, only the column names")
    wanted_column = wanted.within(sheet).image
    column, _ = image_column(
        sheet, finder, wanted_column, str(table), "call the column of the images 'image' or 'id'"
    )
    values = sheet.column(column)
    # Where images of one name lie in folders of several parts, predictions are for `test`.
    paths = [finder.find(value, "test") if value else None for value in values]
    if not any(paths):
        where = ", ".join(str(root) for root in (*roots, table.parent, table.parent / table.stem))
        raise UserError(
            f"none of the {len(values)} images of {table} is in {where} (the first: {values[0]!r})",
            "give their folder with --image-root",
        )
    rows = list(zip(values, paths, strict=True))
    return Inputs(
        names=tuple(values),
        paths=tuple(None if path is None else table.parent / path for path in paths),
        reasons=tuple(
            "" if path else finder.reason(value, "test") if value else "no image named"
            for value, path in rows
        ),
        csv=table,
        sheet=sheet,
        column=column,
        id_column=sheet.names[column] if sheet.has_header else "",
        outside=tuple(
            value for value, path in rows if path is not None and finder.is_outside(path)
        ),
        facts=tuple(finder.facts([path for path in paths if path])),
    )
