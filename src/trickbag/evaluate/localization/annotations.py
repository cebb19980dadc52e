"""Boxes of objects in the XML files of Pascal VOC, and the images that they belong to.

Files are those of others: what is damaged is named, and left out. Shapes: A objects of an image.
"""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.passed_over import ignored_path
from trickbag.data.source import DataError
from trickbag.errors import UserError, choices, shown
from trickbag.paths import FileKind, exists, expanded, is_folder, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = [
    "PARTS",
    "AnnotatedImage",
    "Annotations",
    "parse_annotation",
    "part_lists",
    "read_annotations",
    "require_annotations",
]

PARTS = ("val", "test", "train")
"""The lists of images in `ImageSets/Main`, in the order in which one is chosen."""

_ANNOTATION = FileKind("an annotation in XML", 4 * 2**20)
_LIST = FileKind("a list of images", 2**28)
_LARGEST = 1e9
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImage:
    """An image and its objects: the name of each (A), and its box in pixels of the image (A, 4).

    A box is (left, top, right, bottom), as xmin, ymin, xmax, ymax stand in the file. `name` is the
    image's, relative to the folder, `annotation` that of the XML file. `size` is the height and
    width that this says the image has, None if it does not say.
    """

    name: str
    annotation: str
    path: Path
    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The annotated images of a folder, in order; `part` names the list of them, if there is one.

    `errors` are the files that cannot be used, `box_errors` the boxes.
    """

    folder: Path
    part: str | None
    images: tuple[AnnotatedImage, ...]
    errors: tuple[DataError, ...]
    box_errors: tuple[DataError, ...]


def read_annotations(directory: str | Path, part: str | None = None) -> Annotations:
    """Read the annotations of a folder: XML files beside the images, or the folders of Pascal VOC.

    These are `Annotations` and `JPEGImages`, and `ImageSets/Main` with the lists of the parts, of
    which `part` names one: `val` by default, else `test`, else `train`. Without lists all images
    are taken. Raises UserError where there are no annotations, or no such part.
    """
    folder = require_annotations(directory)
    root = _root(folder)
    listed = list(_files(root, {".xml"}))
    images = folder / "JPEGImages" if is_folder(folder / "JPEGImages") else folder
    pictures = _Pictures(_files(images, EXTENSIONS))
    name, ids = _part(folder, part)
    errors: list[DataError] = []
    box_errors: list[DataError] = []
    if ids is not None:
        listed, missing = _of_part(listed, ids)
        errors += [
            DataError(image, f"the list {name}.txt names it, and it has no annotation")
            for image in missing
        ]
    annotated = []
    for file in listed:
        try:
            annotated.append(_annotated(folder, root, file, images, pictures, box_errors))
        except _Unusable as error:
            errors.append(DataError(_relative(root / file, folder), str(error)))
    return Annotations(
        folder=folder,
        part=name,
        images=tuple(annotated),
        errors=tuple(errors),
        box_errors=tuple(box_errors),
    )


def require_annotations(directory: str | Path) -> Path:
    """Return a folder with annotations; UserError if it is none."""
    folder = expanded(directory)
    if not is_folder(folder):
        raise UserError(f"there is no folder {folder}", "name a folder with images and XML files")
    root = _root(folder)
    if next(_files(root, {".xml"}), None) is None:
        raise UserError(
            f"{root} has no annotations (.xml)",
            "name a folder of images with XML files of Pascal VOC beside them, or of Annotations/ "
            "and JPEGImages/",
        )
    return folder


def _root(folder: Path) -> Path:
    inside = folder / "Annotations"
    return inside if is_folder(inside) else folder


class _Unusable(Exception):
    """Report an annotation that cannot be used."""


class _NoDoctype(ET.TreeBuilder):
    """Builds the tree of a document, and refuses one that declares a type.

    Entities are declared there: they can stand for other files, and for more text than the memory
    holds. Annotations need none.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _Unusable("it declares a document type (<!DOCTYPE>), which may hide other content")


def parse_annotation(data: bytes) -> tuple[list[tuple[str, Any]], str, tuple[int, int] | None]:
    """Return what an annotation says: objects, the image's file name, and its height and width.

    An object is its name with its box, or with the reason why it has none. Raises ValueError for
    what is no annotation.
    """
    try:
        root = ET.fromstring(data, parser=ET.XMLParser(target=_NoDoctype()))
    except _Unusable as error:
        raise ValueError(str(error)) from None
    except (ET.ParseError, LookupError, ValueError) as error:
        # The other two are of an encoding that Python does not know, or that contradicts the text.
        raise ValueError(f"damaged XML: {error}") from None
    if root.tag != "annotation":
        raise ValueError(f"no annotation of Pascal VOC: its root is <{root.tag}>")
    objects = [
        ((each.findtext("name") or "").strip(), _box(each.find("bndbox")))
        for each in root.findall("object")
    ]
    return objects, (root.findtext("filename") or "").strip(), _size(root.find("size"))


def _box(element: ET.Element | None) -> tuple[float, ...] | str:
    """Return the box of an object, or why it has none."""
    if element is None:
        return "has no <bndbox>"
    texts = [(element.findtext(edge) or "").strip() for edge in _EDGES]
    for edge, text in zip(_EDGES, texts, strict=True):
        if _number(text) is None:
            return f"has no number {edge}: {shown(text)}"
    left, top, right, bottom = box = tuple(float(text) for text in texts)
    if left >= right or top >= bottom:
        values = ", ".join(f"{edge} {text}" for edge, text in zip(_EDGES, texts, strict=True))
        return f"has no area: {values}"
    return box


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    # No image is as large: sides and areas of such boxes could be infinite.
    return number if math.isfinite(number) and abs(number) <= _LARGEST else None


def _size(element: ET.Element | None) -> tuple[int, int] | None:
    """Return height and width; None where they are missing, or 0 as some tools write."""
    if element is None:
        return None
    sides = [_number((element.findtext(side) or "").strip()) for side in ("height", "width")]
    if any(side is None or side < 1 for side in sides):
        return None
    height, width = (int(side) for side in sides if side is not None)
    return height, width


def _files(root: Path, extensions: set[str] | frozenset[str]) -> Iterator[str]:
    """Yield the files below a folder with these extensions, relative to it, in order."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        within = os.path.relpath(folder, root).replace(os.sep, "/")
        for file in sorted(files):
            name = file if within == "." else f"{within}/{file}"
            if os.path.splitext(file)[1].lower() in extensions and ignored_path(name) is None:
                yield name


class _Pictures:
    """Images by their path without its extension, and by the last part of that."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for name in names:
            path = os.path.splitext(name)[0]
            self._by_path[path].append(name)
            self._by_name[path.rpartition("/")[2]].append(name)

    def of(self, path: str, written: str) -> str:
        """Return the image of an annotation at a path, without its extension.

        It has the same path or name, else the name that the annotation gives. Raises _Unusable if
        there is none, or more than one.
        """
        folder, _, name = path.rpartition("/")
        # Only the last part of that name: the folders before it are those of another machine.
        given = written.replace("\\", "/").rpartition("/")[2]
        other = os.path.splitext(given)[0]
        candidates = (
            self._by_path.get(path)
            or self._by_path.get(f"{folder}/{other}" if folder else other)
            or self._by_name.get(name)
            or self._by_name.get(other)
            or []
        )
        exact = [each for each in candidates if each.rpartition("/")[2] == given]
        if len(exact) == 1 or len(candidates) == 1:
            return (exact or candidates)[0]
        if candidates:
            raise _Unusable(f"it may be of {len(candidates)} images: {', '.join(candidates[:3])}")
        raise _Unusable("its image is missing")


def part_lists(folder: Path) -> list[str]:
    """Return the parts that a folder has lists of images for, in `ImageSets/Main`."""
    return [name for name in PARTS if exists(_list(folder, name))]


def _list(folder: Path, part: str) -> Path:
    return folder / "ImageSets" / "Main" / f"{part}.txt"


def _part(folder: Path, part: str | None) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the name of the part and the names of its images; None, None where nothing lists it.

    A line of a list begins with the name of an image.
    """
    present = part_lists(folder)
    if part is None and not present:
        return None, None
    if part is not None and part not in present:
        has = f"has the lists {choices(present)}" if present else "has no lists of images"
        raise UserError(
            f"--part {part}: {folder} has no ImageSets/Main/{part}.txt", f"{folder} {has}"
        )
    name = part or present[0]
    text = (read_bytes(_list(folder, name), _LIST) or b"").decode(errors="replace")
    return name, tuple(words[0] for line in text.splitlines() if (words := line.split()))


def _of_part(listed: list[str], ids: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the annotations of the images that a list names, and the images that have none."""
    by_id = {os.path.splitext(name)[0]: name for name in listed}
    unique = tuple(dict.fromkeys(ids))
    return [by_id[each] for each in unique if each in by_id], [
        each for each in unique if each not in by_id
    ]


def _annotated(
    folder: Path,
    root: Path,
    file: str,
    images: Path,
    pictures: _Pictures,
    errors: list[DataError],
) -> AnnotatedImage:
    """Read an annotation; its boxes that cannot be used are added to `errors`."""
    annotation = _relative(root / file, folder)
    try:
        data = read_bytes(root / file, _ANNOTATION) or b""
        objects, written, size = parse_annotation(data)
    except (UserError, ValueError) as error:
        raise _Unusable(str(error)) from None
    path = images / pictures.of(os.path.splitext(file)[0], written)
    usable = []
    for place, (name, box) in enumerate(objects, 1):
        if name and not isinstance(box, str):
            usable.append((name, box))
        else:
            reason = box if isinstance(box, str) else "has no name"
            label = f" ({name})" if name else ""
            errors.append(DataError(annotation, f"object {place}{label} {reason}"))
    if not usable:
        raise _Unusable("it has no object with a box")
    return AnnotatedImage(
        name=_relative(path, folder),
        annotation=annotation,
        path=path,
        names=tuple(name for name, _ in usable),
        boxes=np.array([box for _, box in usable], np.float64),
        size=size,
    )


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
