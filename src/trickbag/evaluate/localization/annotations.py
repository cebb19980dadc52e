"""Boxes of objects in the XML files of Pascal VOC, and the images that they belong to.

Files are those of others: what is damaged is named, and left out. Shapes: A objects of an image.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.annotations.boxes.voc_xml import (
    Unusable,
    VocImages,
    files_below,
    image_ids,
    read_annotation,
)
from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.source import DataError
from trickbag.errors import UserError, choices
from trickbag.paths import exists, expanded, is_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PARTS",
    "AnnotatedImage",
    "Annotations",
    "part_lists",
    "read_annotations",
    "require_annotations",
]

PARTS = ("val", "test", "train")
"""The lists of images in `ImageSets/Main`, in the order in which one is chosen."""


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
    listed = list(files_below(root, {".xml"}))
    images = folder / "JPEGImages" if is_folder(folder / "JPEGImages") else folder
    pictures = VocImages(files_below(images, EXTENSIONS))
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
        except Unusable as error:
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
    if next(files_below(root, {".xml"}), None) is None:
        raise UserError(
            f"{root} has no annotations (.xml)",
            "name a folder of images with XML files of Pascal VOC beside them, or of Annotations/ "
            "and JPEGImages/",
        )
    return folder


def _root(folder: Path) -> Path:
    inside = folder / "Annotations"
    return inside if is_folder(inside) else folder


def part_lists(folder: Path) -> list[str]:
    """Return the parts that a folder has lists of images for, in `ImageSets/Main`."""
    return [name for name in PARTS if exists(_list(folder, name))]


def _list(folder: Path, part: str) -> Path:
    return folder / "ImageSets" / "Main" / f"{part}.txt"


def _part(folder: Path, part: str | None) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the name of a part and its images' names; None, None where nothing lists them."""
    present = part_lists(folder)
    if part is None and not present:
        return None, None
    if part is not None and part not in present:
        has = f"has the lists {choices(present)}" if present else "has no lists of images"
        raise UserError(
            f"--part {part}: {folder} has no ImageSets/Main/{part}.txt", f"{folder} {has}"
        )
    name = part or present[0]
    return name, image_ids(_list(folder, name))


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
    pictures: VocImages,
    errors: list[DataError],
) -> AnnotatedImage:
    """Read an annotation; its boxes that cannot be used are added to `errors`."""
    annotation = _relative(root / file, folder)
    try:
        objects, written, size = read_annotation(root / file)
    except (UserError, ValueError) as error:
        raise Unusable(str(error)) from None
    path = images / pictures.of(os.path.splitext(file)[0], written)
    usable = []
    for place, (name, box, _) in enumerate(objects, 1):
        if name and not isinstance(box, str):
            usable.append((name, box))
        else:
            reason = box if isinstance(box, str) else "has no name"
            label = f" ({name})" if name else ""
            errors.append(DataError(annotation, f"object {place}{label} {reason}"))
    if not usable:
        raise Unusable("it has no object with a box")
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
