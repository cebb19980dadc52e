"""Annotations in XML as Pascal VOC has them: the objects of an image, with their boxes.

Files are those of others: what is damaged is named.
"""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.passed_over import ignored_path
from trickbag.errors import shown
from trickbag.paths import FileKind, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "LARGEST",
    "Unusable",
    "VocImages",
    "VocObject",
    "files_below",
    "image_ids",
    "parse_annotation",
    "read_annotation",
]

LARGEST = 1e9
"""The largest coordinate of a box: no image is as large, and areas beyond could be infinite."""

_ANNOTATION = FileKind("an annotation in XML", 4 * 2**20)
_LIST = FileKind("a list of images", 2**28)
_EDGES = ("xmin", "ymin", "xmax", "ymax")


class VocObject(NamedTuple):
    """An object: its name, and its box (xmin, ymin, xmax, ymax) as it stands in the file.

    In place of a box there is the reason why it has none. `difficult` is VOC's mark of an object
    that an evaluation ignores.
    """

    name: str
    box: tuple[float, ...] | str
    difficult: bool = False


class Unusable(Exception):
    """Report an annotation that cannot be used."""


class _NoDoctype(ET.TreeBuilder):
    """Builds the tree of a document, and refuses one that declares a type.

    Entities are declared there: they can stand for other files, and for more text than the memory
    holds. Annotations need none.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Unusable("it declares a document type (<!DOCTYPE>), which may hide other content")


def read_annotation(path: Path) -> tuple[list[VocObject], str, tuple[int, int] | None]:
    """Read an annotation, see `parse_annotation`; raises UserError too, as `read_bytes` does."""
    return parse_annotation(read_bytes(path, _ANNOTATION) or b"")


def parse_annotation(data: bytes) -> tuple[list[VocObject], str, tuple[int, int] | None]:
    """Return what an annotation says: objects, the image's file name, and its height and width.

    Raises ValueError for what is no annotation.
    """
    try:
        root = ET.fromstring(data, parser=ET.XMLParser(target=_NoDoctype()))
    except Unusable as error:
        raise ValueError(str(error)) from None
    except (ET.ParseError, LookupError, ValueError) as error:
        # The other two are of an encoding that Python does not know, or that contradicts the text.
        raise ValueError(f"damaged XML: {error}") from None
    if root.tag != "annotation":
        raise ValueError(f"no annotation of Pascal VOC: its root is <{root.tag}>")
    objects = [
        VocObject(
            (each.findtext("name") or "").strip(),
            _box(each.find("bndbox")),
            _number((each.findtext("difficult") or "").strip()) not in (None, 0.0),
        )
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
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def _size(element: ET.Element | None) -> tuple[int, int] | None:
    """Return height and width; None where they are missing, or 0 as some tools write."""
    if element is None:
        return None
    sides = [_number((element.findtext(side) or "").strip()) for side in ("height", "width")]
    if any(side is None or side < 1 for side in sides):
        return None
    height, width = (int(side) for side in sides if side is not None)
    return height, width


def files_below(root: Path, extensions: set[str] | frozenset[str]) -> Iterator[str]:
    """Yield the files below a folder with these extensions, relative to it, in order."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        within = os.path.relpath(folder, root).replace(os.sep, "/")
        for file in sorted(files):
            name = file if within == "." else f"{within}/{file}"
            if os.path.splitext(file)[1].lower() in extensions and ignored_path(name) is None:
                yield name


class VocImages:
    """Images by their path without its extension, and by the last part of that."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            path = os.path.splitext(name)[0]
            self._by_path[path].append(name)
            self._by_name[path.rpartition("/")[2]].append(name)

    def of(self, path: str, written: str) -> str:
        """Return the image of an annotation at a path, without its extension.

        It has the same path or name, else the name that the annotation gives. Raises Unusable if
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
            raise Unusable(f"it may be of {len(candidates)} images: {', '.join(candidates[:3])}")
        raise Unusable("its image is missing")


def image_ids(path: Path) -> tuple[str, ...]:
    """Return the images that a list of `ImageSets/Main` names: each line begins with one."""
    text = (read_bytes(path, _LIST) or b"").decode(errors="replace")
    return tuple(words[0] for line in text.splitlines() if (words := line.split()))
