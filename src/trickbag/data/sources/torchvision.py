"""Data sets by their torchvision name: downloaded where there is a network, found in a folder where
there is not."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.decoding.cache import cache_folder
from trickbag.data.source import ArrayPart, FilePart, Part, Source
from trickbag.errors import UserError, choices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KNOWN", "Known", "open_torchvision"]

_SPLIT = MappingProxyType({"train": {"split": "train"}, "test": {"split": "test"}})
_SPLIT_VAL = MappingProxyType(
    {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}
)
_TRAIN = MappingProxyType({"train": {"train": True}, "test": {"train": False}})
_WHOLE: Mapping[str, Mapping[str, Any]] = MappingProxyType({"train": {}})

_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Known:
    """What torchvision does not say of a data set: how its parts are asked for, where it lies, what suits it.

    parts: arguments for each part. folder: what must be in the data folder. natural_size, mirror:
    as in `Source`.
    """

    parts: Mapping[str, Mapping[str, Any]]
    folder: str
    natural_size: int | None = None
    mirror: bool = True


KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "MNIST": Known(parts=_TRAIN, folder="MNIST/raw", natural_size=28, mirror=False),
        "FashionMNIST": Known(parts=_TRAIN, folder="FashionMNIST/raw", natural_size=28),
        "KMNIST": Known(parts=_TRAIN, folder="KMNIST/raw", natural_size=28, mirror=False),
        "USPS": Known(
            parts=_TRAIN, folder="usps.bz2 and usps.t.bz2", natural_size=16, mirror=False
        ),
        "CIFAR10": Known(parts=_TRAIN, folder="cifar-10-batches-py", natural_size=32),
        "CIFAR100": Known(parts=_TRAIN, folder="cifar-100-python", natural_size=32),
        "SVHN": Known(
            parts=_SPLIT, folder="train_32x32.mat and test_32x32.mat", natural_size=32, mirror=False
        ),
        "STL10": Known(parts=_SPLIT, folder="stl10_binary", natural_size=96),
        "EuroSAT": Known(parts=_WHOLE, folder="eurosat/2750", natural_size=64),
        "Flowers102": Known(parts=_SPLIT_VAL, folder="flowers-102"),
        "Food101": Known(parts=_SPLIT, folder="food-101"),
        "OxfordIIITPet": Known(
            parts=MappingProxyType({"train": {"split": "trainval"}, "test": {"split": "test"}}),
            folder="oxford-iiit-pet",
        ),
        "DTD": Known(parts=_SPLIT_VAL, folder="dtd/dtd"),
        "FGVCAircraft": Known(parts=_SPLIT_VAL, folder="fgvc-aircraft-2013b"),
        "StanfordCars": Known(parts=_SPLIT, folder="stanford_cars"),
        "SUN397": Known(parts=_WHOLE, folder="SUN397"),
        "Imagenette": Known(
            parts=MappingProxyType({"train": {"split": "train"}, "val": {"split": "val"}}),
            folder="imagenette2",
        ),
        "Country211": Known(
            parts=MappingProxyType(
                {"train": {"split": "train"}, "val": {"split": "valid"}, "test": {"split": "test"}}
            ),
            folder="country211",
        ),
        "RenderedSST2": Known(parts=_SPLIT_VAL, folder="rendered-sst2", mirror=False),
    }
)
"""The data sets that can be opened by name."""


def open_torchvision(name: str, root: Path | None) -> Source:
    """Open a torchvision data set in the folder `root`, by default one in the user's cache, and download it if need be.

    Its official parts are used; classes are put in order of their names. torchvision verifies what
    it downloads, and reads the CIFAR files, which are pickles, only where their checksums are the
    official ones. Raises UserError for a name that is not known, and where the files are neither
    there nor can be fetched.
    """
    if name not in KNOWN:
        raise UserError(
            f"data source 'torchvision:{name}' is not known; NAME is one of: {choices(KNOWN)}"
        )
    known, folder = KNOWN[name], root or cache_folder() / "torchvision"
    sets = {part: _open_set(name, folder, arguments) for part, arguments in known.parts.items()}
    labels = {
        part: np.asarray(_first(found, "targets", "_labels", "labels"), np.int64)
        for part, found in sets.items()
    }
    names = _class_names(sets["train"], labels)
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    parts = {part: _part(found, part, place[labels[part]], folder) for part, found in sets.items()}
    return Source(
        spec=f"torchvision:{name}",
        classes=tuple(names[i] for i in order),
        parts=parts,
        natural_size=known.natural_size,
        mirror=known.mirror,
    )


def _open_set(name: str, folder: Path, arguments: Mapping[str, Any]) -> Any:
    from torchvision import datasets

    kind = getattr(datasets, name)
    try:
        return kind(str(folder), download=False, **arguments)
    except Exception:  # each set has its own way of saying that its files are not there
        pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _patience(), redirect_stdout(sys.stderr):
            return kind(str(folder), download=True, **arguments)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"data source 'torchvision:{name}': not found in {folder}, and the download failed "
            f"({reason}); "
            f"put {KNOWN[name].folder} there, or name the folder that has it with --image-root"
        ) from None


@contextmanager
def _patience() -> Iterator[None]:
    """Let connections that torchvision opens without a time limit fail after a while."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _first(found: Any, *attributes: str) -> Any:
    """Return the first attribute that a set has; a set of (path, label) pairs has labels in
    those."""
    for attribute in attributes:
        if hasattr(found, attribute):
            return getattr(found, attribute)
    return [label for _, label in found._samples]


def _class_names(found: Any, labels: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the classes by label; numbers where torchvision has no names."""
    if hasattr(found, "classes"):
        return [name if isinstance(name, str) else name[0] for name in found.classes]
    count = 1 + max(int(part.max()) for part in labels.values())
    digits = len(str(count - 1))
    return [f"{label:0{digits}d}" for label in range(count)]


def _part(found: Any, part: str, labels: np.ndarray, folder: Path) -> Part:
    if hasattr(found, "data"):
        images = np.asarray(found.data)
        if images.ndim == 4 and images.shape[1] == 3:  # channels first: STL10, SVHN
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        return ArrayPart.of(images, labels, part)
    samples = getattr(found, "samples", None) or getattr(found, "_samples", None)
    paths = [path for path, _ in samples] if samples else _first(found, "_image_files", "_images")
    root = os.path.abspath(folder)
    names = [Path(os.path.relpath(os.path.abspath(path), root)).as_posix() for path in paths]
    return FilePart.listed(
        folder,
        [(name, _size(folder / name), int(y)) for name, y in zip(names, labels, strict=True)],
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
