"""The same images as sources of every kind: one row a kind, for the contract tests over all."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.builders.images import encode, exif, photo, with_exif

Settings = dict[str, Any]
"""Fields of `DataConfig` that name the source."""


class Item(NamedTuple):
    """An image of a source: its part, its class, its file name and the bytes of the file.

    An empty label is none. group: what the image shares with others, such as a patient.
    """

    part: str
    label: str
    name: str
    data: bytes
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of source, and how the same images are written as one of it.

    write: writes images into an empty folder, in the order given, and returns the settings that
    name the source. parts: those that the kind can hold; images of other parts are written as of
    `train`. named: whether the names of the images hold their file names. groups: whether its
    images have groups, in a column `patient`. unlabelled: whether images can lack a label. slow:
    whether its library takes seconds to import.
    """

    name: str
    write: Callable[[Path, Sequence[Item]], Settings]
    parts: tuple[str, ...] = ("train", "val", "test")
    named: bool = True
    groups: bool = False
    unlabelled: bool = False
    slow: bool = False

    def items(self, items: Iterable[Item]) -> list[Item]:
        """Return images with the parts that this kind can hold."""
        return [item if item.part in self.parts else item._replace(part="train") for item in items]


def drawn_items(labels: Sequence[str] = ("cat", "dog"), count: int = 3) -> list[Item]:
    """Return `count` images of each class to train with, and one of each to validate and test with.

    They are PNG and JPEG, and one has an orientation.
    """
    items, seed = [], 0
    for part, number in (("train", count), ("val", 1), ("test", 1)):
        for label in labels:
            for i in range(number):
                seed += 1
                kind = "JPEG" if i % 2 else "PNG"
                data = encode(photo(14, 10, seed), kind)
                if kind == "JPEG":
                    data = with_exif(data, exif(6))
                suffix = ".jpg" if kind == "JPEG" else ".png"
                items.append(Item(part, label, f"{part}{label}{i}{suffix}", data))
    return items


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_folder(root: Path, items: Sequence[Item]) -> Settings:
    """Write PART/CLASS/NAME."""
    for item in items:
        _put(root / item.part / item.label / item.name, item.data)
    return {"source": str(root)}


def _rows(items: Sequence[Item]) -> dict[str, list[str]]:
    """Return images as the columns of a table; the column of groups only where they have any."""
    columns = {
        "image": [f"images/{item.name}" for item in items],
        "label": [item.label for item in items],
        "split": [item.part for item in items],
    }
    if any(item.group for item in items):
        columns["patient"] = [item.group for item in items]
    return columns


def write_csv(root: Path, items: Sequence[Item]) -> Settings:
    """Write a CSV file beside the images, with a column of the parts."""
    for item in items:
        _put(root / "images" / item.name, item.data)
    columns = _rows(items)
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    return {"source": str(root / "table.csv")}


def write_parquet(root: Path, items: Sequence[Item]) -> Settings:
    """Write a Parquet file beside the images, all for training."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for item in items:
        _put(root / "images" / item.name, item.data)
    columns = _rows(items)
    del columns["split"]
    pq.write_table(pa.table(columns), root / "table.parquet")
    return {"source": str(root / "table.parquet")}


def write_torchvision(root: Path, items: Sequence[Item]) -> Settings:
    """Write the folders of EuroSAT."""
    for item in items:
        _put(root / "eurosat" / "2750" / item.label / item.name, item.data)
    return {"source": "torchvision:EuroSAT", "image_root": str(root)}


def write_hf_folder(root: Path, items: Sequence[Item]) -> Settings:
    """Write PART/CLASS/NAME, the layout `imagefolder` of the library `datasets`.

    Where images have groups, or lack a label, a file in each part says so.
    """
    if all(item.label and not item.group for item in items):
        write_folder(root, items)
        return {"source": f"hf:{root}"}
    for item in items:
        _put(root / item.part / item.name, item.data)
    for part in {item.part for item in items}:
        rows = [(item.name, item.label, item.group) for item in items if item.part == part]
        with (root / part / "metadata.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file_name", "label", "patient"), *rows])
    return {"source": f"hf:{root}"}


def _hf_tables(items: Sequence[Item]) -> Any:
    """Return images with their labels as tables of the library `datasets`."""
    import datasets

    labels = sorted({item.label for item in items} - {""})
    features = datasets.Features(
        {
            "label": datasets.ClassLabel(names=labels),
            "image": datasets.Image(),
            "patient": datasets.Value("string"),
        }
    )
    tables = datasets.DatasetDict()
    for part in sorted({item.part for item in items}):
        rows = [
            {
                "label": item.label or None,
                "image": {"bytes": item.data, "path": item.name},
                "patient": item.group,
            }
            for item in items
            if item.part == part
        ]
        table = datasets.Dataset.from_list(rows, features=features)
        grouped = any(item.group for item in items)
        tables[part] = table if grouped else table.remove_columns(["patient"])
    return tables


def write_hf_parquet(root: Path, items: Sequence[Item]) -> Settings:
    """Write a file of Parquet for each part, as on the Hugging Face Hub."""
    (root / "data").mkdir()
    for part, table in _hf_tables(items).items():
        table.to_parquet(root / "data" / f"{part}-00000-of-00001.parquet")
    return {"source": f"hf:{root}"}


def write_hf_saved(root: Path, items: Sequence[Item]) -> Settings:
    """Write what `save_to_disk` of the library `datasets` writes."""
    _hf_tables(items).save_to_disk(str(root))
    return {"source": f"hf:{root}"}


def write_tar(path: Path, entries: Iterable[tuple[str, bytes]]) -> Path:
    """Write a tar file of entries: name and content."""
    with tarfile.open(path, "w") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_wds(root: Path, items: Sequence[Item]) -> Settings:
    """Write a shard or two for each part, with labels in `.cls` and groups in `.patient`."""
    shards: dict[str, list[tuple[str, bytes]]] = {}
    for i, item in enumerate(sorted(items)):
        entries = shards.setdefault(f"{item.part}-{i % 2:03}.tar", [])
        key = item.name.partition(".")[0]
        entries += [(f"{key}.cls", item.label.encode()), (item.name, item.data)]
        if item.group:
            entries.append((f"{key}.patient", item.group.encode()))
    for name, entries in shards.items():
        write_tar(root / name, entries)
    return {"source": f"wds:{root}"}


def write_arrow(root: Path, items: Sequence[Item]) -> Settings:
    """Write a pack of a CSV file, with the bytes of the images as they are."""
    from trickbag.data.config import DataConfig
    from trickbag.data.packing.pack import write_pack

    (root / "unpacked").mkdir()
    settings = write_csv(root / "unpacked", items)
    if any(item.group for item in items):
        settings["group_column"] = "patient"
    write_pack(DataConfig(**settings, max_bad_fraction=1.0), root / "images.arrow")
    shutil.rmtree(root / "unpacked")
    return {"source": str(root / "images.arrow")}


KINDS = (
    SourceKind(name="folder", write=write_folder),
    SourceKind(name="csv", write=write_csv, groups=True, unlabelled=True),
    SourceKind(name="parquet", write=write_parquet, parts=("train",), groups=True, unlabelled=True),
    SourceKind(name="hf folder", write=write_hf_folder, groups=True, unlabelled=True, slow=True),
    SourceKind(
        name="hf parquet",
        write=write_hf_parquet,
        named=False,
        groups=True,
        unlabelled=True,
        slow=True,
    ),
    SourceKind(
        name="hf saved", write=write_hf_saved, named=False, groups=True, unlabelled=True, slow=True
    ),
    SourceKind(name="wds", write=write_wds, groups=True, unlabelled=True),
    SourceKind(name="arrow", write=write_arrow, groups=True, unlabelled=True),
    SourceKind(name="torchvision", write=write_torchvision, parts=("train",), slow=True),
)
"""The kinds of sources whose images are files, or the bytes of files."""


@contextmanager
def reversed_listings() -> Iterator[None]:
    """Let the file system list the entries of each folder in the reverse of its order."""
    listdir, scandir = os.listdir, os.scandir

    class Entries:
        def __init__(self, *path: Any) -> None:
            with scandir(*path) as entries:
                self._entries = iter(list(entries)[::-1])

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            return self._entries

        def __next__(self) -> os.DirEntry[str]:
            return next(self._entries)

        def __enter__(self) -> Entries:
            return self

        def __exit__(self, *error: object) -> None:
            self.close()

        def close(self) -> None:
            pass

    with (
        mock.patch.object(os, "listdir", lambda *path: listdir(*path)[::-1]),
        mock.patch.object(os, "scandir", Entries),
    ):
        yield
