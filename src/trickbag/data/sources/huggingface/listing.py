"""The images of a data set's tables as parts, and what of it is not taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.passed_over import PassedOverFiles, Reason, ignored_path, reason_of
from trickbag.data.source import DataError, FilePart, PassedOver, file_size
from trickbag.data.sources.huggingface.part import TablePart
from trickbag.data.sources.outside import OUTSIDE, is_beyond

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from trickbag.data.source import EncodedPart

__all__ = ["Listing"]

_DESCRIPTIONS = frozenset({"readme.md", "metadata.csv", "metadata.jsonl", "metadata.parquet"})
"""Files of which the library reads what they say about a folder."""


class Listing:
    """Lists the images of each part of a data set, and accounts for what it does not take.

    root: the folder within which files are expected. local: whether it is that of the data set, to
    which names are relative; else images are named by their rows.
    """

    def __init__(
        self, spec: str, root: Path, local: bool, outside: Literal["read", "refuse"]
    ) -> None:
        self.left_out: list[DataError] = []
        self._spec, self._root, self._local, self._outside = spec, root, local, outside
        self._no_image: list[str] = []
        self._beyond: list[str] = []
        self._taken: set[str] = set()

    def part(self, part: str, images: Any, column: str) -> tuple[EncodedPart, list[int]]:
        """Return the images of a part, without their labels, and their rows in the table."""
        import pyarrow.compute as pc

        values = images.with_format("arrow")[:].column(column)
        lengths = pc.binary_length(pc.struct_field(values, "bytes"))
        sizes = np.asarray(pc.fill_null(lengths, -1), np.int64).copy()
        paths = pc.struct_field(values, "path").to_pylist()
        digits = len(str(max(len(paths) - 1, 0)))
        names = [f"{part}/{i:0{digits}d}" for i in range(len(paths))]
        kept = np.ones(len(paths), bool)
        by_path = sizes < 0
        for i in np.flatnonzero(by_path).tolist():
            if not paths[i]:
                kept[i] = False
                self._no_image.append(names[i])
                continue
            path = os.path.abspath(os.path.join(self._root, paths[i]))
            if self._local:
                names[i] = Path(os.path.relpath(path, self._root)).as_posix()
            kept[i] = self._admits(names[i], path)
            self._taken.add(path)
            sizes[i] = file_size(Path(path))
        rows = np.flatnonzero(kept)
        listed = self._listed(images, column, names, sizes, by_path)
        return listed.subset(rows), rows.tolist()

    def _listed(
        self,
        images: Any,
        column: str,
        names: list[str],
        sizes: NDArray[np.int64],
        by_path: NDArray[np.bool_],
    ) -> EncodedPart:
        labels = np.full(len(names), -1, np.int64)
        if self._local and by_path.all():
            return FilePart(names=tuple(names), labels=labels, sizes=sizes, root=str(self._root))
        files = [file["filename"] for file in images.cache_files]
        return TablePart(
            names=tuple(names),
            labels=labels,
            sizes=sizes,
            table=images,
            column=column,
            rows=np.arange(len(names), dtype=np.int64),
            file=os.path.abspath(files[0]) if files else str(self._root),
            written_ns=max((os.stat(file).st_mtime_ns for file in files), default=0),
            by_path=bool(by_path.any()),
        )

    def _admits(self, name: str, path: str) -> bool:
        inside = path.startswith(f"{self._root}{os.sep}")
        if self._outside == "refuse" and (not inside or is_beyond(Path(path), self._root)):
            self.left_out.append(DataError(name, OUTSIDE))
            return False
        if not inside:
            self._beyond.append(name)
        return True

    def facts(self) -> list[str]:
        """Say how many files lie outside of the folder."""
        if not self._beyond:
            return []
        count = len(self._beyond)
        verb = "image lies" if count == 1 else "images lie"
        return [
            f"{count} {verb} outside of {self._root}, such as {self._beyond[0]}; "
            "--set data.outside=refuse leaves them out"
        ]

    def passed_over(self, data_files: Sequence[str]) -> tuple[PassedOver, ...]:
        """Return the rows without an image, and what lies in a folder beside its data."""
        passed = PassedOverFiles()
        passed.add(Reason("no image", "no image in the row"), self._no_image)
        if self._local and data_files:
            used = self._taken or {os.path.abspath(file) for file in data_files}
            for name in _files_within(self._root):
                is_description = name.rpartition("/")[2].lower() in _DESCRIPTIONS
                if str(self._root / name) not in used and not is_description:
                    passed.add(_reason(name), [name])
        return passed.records()


def _files_within(root: Path) -> Iterator[str]:
    for inner, _, files in os.walk(root):
        for file in files:
            yield Path(os.path.relpath(os.path.join(inner, file), root)).as_posix()


def _reason(name: str) -> Reason:
    extension = os.path.splitext(name)[1].lower()
    if extension in EXTENSIONS:
        return ignored_path(name) or Reason(extension, "the library datasets does not list it")
    return ignored_path(name) or reason_of(name.rpartition("/")[2])
