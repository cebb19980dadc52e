"""Data sets by their torchvision name, downloaded unless a folder has them."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.decoding.cache import cache_folder
from trickbag.data.source import ArrayPart, FilePart, Part, Source, file_size
from trickbag.errors import UserError, choices
from trickbag.output import third_party_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["TORCHVISION_SETS", "TorchvisionSet", "open_torchvision"]

_SPLIT = MappingProxyType({"train": {"split": "train"}, "test": {"split": "test"}})
_SPLIT_VAL = MappingProxyType(
    {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}
)
_TRAIN = MappingProxyType({"train": {"train": True}, "test": {"train": False}})
_ONE_PART: Mapping[str, Mapping[str, Any]] = MappingProxyType({"train": {}})

_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet:
    """What torchvision does not say about one of its data sets.

    parts: the arguments that select each part. folder: what must be in the data folder.
    natural_size, mirror: as in `Source`.
    """

    parts: Mapping[str, Mapping[str, Any]]
    folder: str
    natural_size: int | None = None
    mirror: bool = True


TORCHVISION_SETS: Mapping[str, TorchvisionSet] = MappingProxyType(
    {
        "MNIST": TorchvisionSet(parts=_TRAIN, folder="MNIST/raw", natural_size=28, mirror=False),
        "FashionMNIST": TorchvisionSet(parts=_TRAIN, folder="FashionMNIST/raw", natural_size=28),
        "KMNIST": TorchvisionSet(parts=_TRAIN, folder="KMNIST/raw", natural_size=28, mirror=False),
        "USPS": TorchvisionSet(
            parts=_TRAIN, folder="usps.bz2 and usps.t.bz2", natural_size=16, mirror=False
        ),
        "CIFAR10": TorchvisionSet(parts=_TRAIN, folder="cifar-10-batches-py", natural_size=32),
        "CIFAR100": TorchvisionSet(parts=_TRAIN, folder="cifar-100-python", natural_size=32),
        "SVHN": TorchvisionSet(
            parts=_SPLIT, folder="train_32x32.mat and test_32x32.mat", natural_size=32, mirror=False
        ),
        "STL10": TorchvisionSet(parts=_SPLIT, folder="stl10_binary", natural_size=96),
        "EuroSAT": TorchvisionSet(parts=_ONE_PART, folder="eurosat/2750", natural_size=64),
        "Flowers102": TorchvisionSet(parts=_SPLIT_VAL, folder="flowers-102"),
        "Food101": TorchvisionSet(parts=_SPLIT, folder="food-101"),
        "OxfordIIITPet": TorchvisionSet(
            parts=MappingProxyType({"train": {"split": "trainval"}, "test": {"split": "test"}}),
            folder="oxford-iiit-pet",
        ),
        "DTD": TorchvisionSet(parts=_SPLIT_VAL, folder="dtd/dtd"),
        "FGVCAircraft": TorchvisionSet(parts=_SPLIT_VAL, folder="fgvc-aircraft-2013b"),
        "StanfordCars": TorchvisionSet(parts=_SPLIT, folder="stanford_cars"),
        "SUN397": TorchvisionSet(parts=_ONE_PART, folder="SUN397"),
        "Imagenette": TorchvisionSet(
            parts=MappingProxyType({"train": {"split": "train"}, "val": {"split": "val"}}),
            folder="imagenette2",
        ),
        "Country211": TorchvisionSet(
            parts=MappingProxyType(
                {"train": {"split": "train"}, "val": {"split": "valid"}, "test": {"split": "test"}}
            ),
            folder="country211",
        ),
        "RenderedSST2": TorchvisionSet(parts=_SPLIT_VAL, folder="rendered-sst2", mirror=False),
    }
)
"""The data sets that can be opened by name."""


def open_torchvision(name: str, root: Path | None) -> Source:
    """Open a torchvision data set in the folder `root`; download it if it is not there.

    The default of `root` is a folder in the user's cache. The official parts are used; classes are
    ordered by name. torchvision verifies its downloads, and reads the CIFAR files, which are
    pickles, only if their checksums are the official ones.

    Raises UserError for an unknown name, and if the files are neither there nor can be downloaded.
    """
    if name not in TORCHVISION_SETS:
        raise UserError(
            f"data source 'torchvision:{name}' is not known",
            f"NAME is one of: {choices(TORCHVISION_SETS)}",
        )
    info, folder = TORCHVISION_SETS[name], root or cache_folder() / "torchvision"
    sets = {part: _open_set(name, folder, arguments) for part, arguments in info.parts.items()}
    labels = {
        part: np.asarray(_first_attribute(dataset, "targets", "_labels", "labels"), np.int64)
        for part, dataset in sets.items()
    }
    names = _class_names(sets["train"], labels)
    # torchvision's order of classes is not always that of their names.
    order = sorted(range(len(names)), key=names.__getitem__)
    new_label = np.empty(len(names), np.int64)
    new_label[order] = np.arange(len(names))
    parts = {
        part: _part(dataset, part, new_label[labels[part]], folder)
        for part, dataset in sets.items()
    }
    return Source(
        spec=f"torchvision:{name}",
        classes=tuple(names[i] for i in order),
        parts=parts,
        natural_size=info.natural_size,
        mirror=info.mirror,
    )


def _open_set(name: str, folder: Path, arguments: Mapping[str, Any]) -> Any:
    from torchvision import datasets

    dataset_class = getattr(datasets, name)
    try:
        return dataset_class(str(folder), download=False, **arguments)
    except Exception:
        # Each set has its own error for files that are not there.
        pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _connection_timeout(), third_party_output():
            return dataset_class(str(folder), download=True, **arguments)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"data source 'torchvision:{name}': not found in {folder}, and the download failed "
            f"({reason})",
            f"put {TORCHVISION_SETS[name].folder} there, or name the folder that has it with "
            "--image-root",
        ) from None


@contextmanager
def _connection_timeout() -> Iterator[None]:
    """Let connections fail after a time; torchvision opens them without a limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _first_attribute(dataset: Any, *attributes: str) -> Any:
    """Return the first of the attributes that a set has; without any, the labels of its samples."""
    for attribute in attributes:
        if hasattr(dataset, attribute):
            return getattr(dataset, attribute)
    return [label for _, label in dataset._samples]


def _class_names(dataset: Any, labels: Mapping[str, np.ndarray]) -> list[str]:
    """Return the class names by label; numbers if torchvision has no names."""
    if hasattr(dataset, "classes"):
        # Some sets give a tuple of names for a class.
        return [name if isinstance(name, str) else name[0] for name in dataset.classes]
    count = 1 + max(int(part.max()) for part in labels.values())
    digits = len(str(count - 1))
    return [f"{label:0{digits}d}" for label in range(count)]


def _part(dataset: Any, part: str, labels: np.ndarray, folder: Path) -> Part:
    if hasattr(dataset, "data"):
        images = np.asarray(dataset.data)
        if images.ndim == 4 and images.shape[1] == 3:
            # STL10 and SVHN store channels first.
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        return ArrayPart.of(images, labels, part)
    samples = getattr(dataset, "samples", None) or getattr(dataset, "_samples", None)
    if samples:
        paths = [path for path, _ in samples]
    else:
        paths = _first_attribute(dataset, "_image_files", "_images")
    root = os.path.abspath(folder)
    names = [Path(os.path.relpath(os.path.abspath(path), root)).as_posix() for path in paths]
    files = [
        (name, file_size(folder / name), int(label))
        for name, label in zip(names, labels, strict=True)
    ]
    return FilePart.listed(folder, files)
