"""The same images as sources of every kind: one row a kind, for the contract tests over all."""

from __future__ import annotations

import csv
import io
import os
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
    """An image of a source: its part, its class, its file name and the bytes of the file."""

    part: str
    label: str
    name: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of source, and how the same images are written as one of it.

    write: writes images into an empty folder, in the order given, and returns the settings that
    name the source. parts: those that the kind can hold; images of other parts are written as of
    `train`. named: whether the names of the images hold their file names. slow: whether its library
    takes seconds to import.
    """

    name: str
    write: Callable[[Path, Sequence[Item]], Settings]
    parts: tuple[str, ...] = ("train", "val", "test")
    named: bool = True
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


def write_csv(root: Path, items: Sequence[Item]) -> Settings:
    """Write a table of `image,label` beside the images."""
    for item in items:
        _put(root / "images" / item.name, item.data)
    with (root / "table.csv").open("w", newline="") as file:
        rows = [(f"images/{item.name}", item.label) for item in items]
        csv.writer(file).writerows([("image", "label"), *rows])
    return {"source": str(root / "table.csv")}


def write_torchvision(root: Path, items: Sequence[Item]) -> Settings:
    """Write the folders of EuroSAT."""
    for item in items:
        _put(root / "eurosat" / "2750" / item.label / item.name, item.data)
    return {"source": "torchvision:EuroSAT", "image_root": str(root)}


def write_hf_folder(root: Path, items: Sequence[Item]) -> Settings:
    """Write PART/CLASS/NAME, the layout `imagefolder` of the library `datasets`."""
    write_folder(root, items)
    return {"source": f"hf:{root}"}


def _hf_tables(items: Sequence[Item]) -> Any:
    """Return images with their labels as tables of the library `datasets`."""
    import datasets

    labels = sorted({item.label for item in items})
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=labels), "image": datasets.Image()}
    )
    return datasets.DatasetDict(
        {
            part: datasets.Dataset.from_list(
                [
                    {"label": item.label, "image": {"bytes": item.data, "path": item.name}}
                    for item in items
                    if item.part == part
                ],
                features=features,
            )
            for part in sorted({item.part for item in items})
        }
    )


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
    """Write a shard or two for each part, with the labels in `.cls`."""
    shards: dict[str, list[tuple[str, bytes]]] = {}
    for i, item in enumerate(sorted(items)):
        entries = shards.setdefault(f"{item.part}-{i % 2:03}.tar", [])
        key = item.name.partition(".")[0]
        entries += [(f"{key}.cls", item.label.encode()), (item.name, item.data)]
    for name, entries in shards.items():
        write_tar(root / name, entries)
    return {"source": f"wds:{root}"}


KINDS = (
    SourceKind(name="folder", write=write_folder),
    SourceKind(name="csv", write=write_csv, parts=("train",)),
    SourceKind(name="hf folder", write=write_hf_folder, slow=True),
    SourceKind(name="hf parquet", write=write_hf_parquet, named=False, slow=True),
    SourceKind(name="hf saved", write=write_hf_saved, named=False, slow=True),
    SourceKind(name="wds", write=write_wds),
    SourceKind(name="torchvision", write=write_torchvision, parts=("train",), slow=True),
)


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
