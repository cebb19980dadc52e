"""What a reader of annotations lists, and the source that is made of it.

Shapes: M objects of an image.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.annotations.boxes.orientation import OtherSize, in_upright_image
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.decoding.header import Header, read_header
from trickbag.data.passed_over import PassedOverFiles, Reason, ignored_path, is_image, reason_of
from trickbag.data.source import DataError, Source, file_size
from trickbag.data.sources.outside import OUTSIDE, is_beyond
from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.source import PassedOver

__all__ = ["BoxListing", "ListedImage", "ListedObject", "box_source"]

_UNLISTED = Reason("no annotation names it", "no annotation, or no list of a part, names it")
_OTHER_IMAGES = Reason("other image", "in another folder than the annotated images", True)
_ANNOTATION = Reason("annotation", "no list of a part names its image", True)


class ListedObject(NamedTuple):
    """An object: where its annotation stands, such as `object 3`, its class, and its box.

    The box is (left, top, right, bottom), continuous, in pixels of the image as it is annotated; or
    the reason why it has none. `difficult` marks one that an evaluation ignores.
    """

    place: str
    name: str
    box: tuple[float, ...] | str
    difficult: bool = False


class ListedImage(NamedTuple):
    """An annotated image: its file, relative to the source, and the file of its annotation.

    `size` is the height and width that the annotation says the image has, None if it does not say.
    """

    file: str
    annotation: str
    size: tuple[int, int] | None
    objects: tuple[ListedObject, ...]


@dataclass(kw_only=True)
class BoxListing:
    """The annotated images of a folder, by part, and what of it cannot be used.

    `classes` are those that the source declares, in the file `declared_in`; None where the objects
    say by themselves which classes there are. `used` are files that are no images, and were read.
    `holds_images` tells of a folder, relative to the source, whether its images are meant.
    """

    root: Path
    parts: dict[str, list[ListedImage]] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    declared_in: str = ""
    left_out: list[DataError] = field(default_factory=list)
    object_errors: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    holds_images: Callable[[str], bool] = bool


@dataclass
class _Tally:
    """What is changed, or not sure, of the images and objects of a source."""

    clipped: int = 0
    clipped_in: str = ""
    furthest: float = 0.0
    unsure: int = 0
    beyond: int = 0
    empty: int = 0


class _Usable(NamedTuple):
    """An image that can be used: its size in bytes, and its objects with their boxes (M, 4)."""

    file: str
    size: int
    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    difficult: tuple[bool, ...]


def box_source(listing: BoxListing, data: DataConfig) -> Source:
    """Return the source of a listing: boxes of the upright images, cut off at their edges.

    Images and objects that cannot be used are left out and named; the images of a part are in the
    order of their names.
    """
    tally = _Tally()
    usable: dict[str, list[_Usable]] = {}
    taken = {image.file for images in listing.parts.values() for image in images}
    for part, images in listing.parts.items():
        usable[part] = []
        for image in sorted(images):
            result = _usable(image, listing, data, tally)
            if isinstance(result, _Usable):
                usable[part].append(result)
            else:
                listing.left_out.append(DataError(image.file, result))
    classes = listing.classes
    if classes is None:
        names = {name for images in usable.values() for image in images for name in image.names}
        classes = tuple(sorted(names))
    number_of = {name: number for number, name in enumerate(classes)}
    return Source(
        spec=data.source,
        classes=classes,
        parts={part: _part(listing.root, images, number_of) for part, images in usable.items()},
        left_out=tuple(listing.left_out),
        object_errors=tuple(listing.object_errors),
        passed_over=_passed_over(listing, taken),
        notes=tuple(Note("data", None, text) for text in (*listing.notes, *_notes(listing, tally))),
    )


def _part(root: Path, images: list[_Usable], number_of: Mapping[str, int]) -> BoxPart:
    boxes = [
        np.column_stack(
            (
                [number_of[name] for name in image.names],
                image.boxes,
                np.array(image.difficult, np.float64),
            )
        ).reshape(-1, 6)
        for image in images
    ]
    files = [(image.file, image.size) for image in images]
    return BoxPart.with_boxes(root, files, boxes, len(number_of))


def _usable(
    image: ListedImage, listing: BoxListing, data: DataConfig, tally: _Tally
) -> _Usable | str:
    """Return an image with the objects that can be used, or why it is left out."""
    path = listing.root / image.file
    bytes_of_file = file_size(path)
    if bytes_of_file < 0:
        return "its annotation names it, and it is missing"
    beyond = is_beyond(path, listing.root)
    if beyond and data.outside == "refuse":
        return OUTSIDE
    header = read_header(path)
    if header is None and image.size is not None:
        # The check of all images says what is wrong with this one.
        header = Header(*image.size)
    objects = []
    for each in image.objects:
        problem = _problem(each, listing)
        if problem:
            listing.object_errors.append(_object_error(image, each, problem))
        else:
            objects.append(each)
    boxes = np.array([each.box for each in objects], np.float64).reshape(-1, 4)
    if header is not None:
        try:
            boxes, unsure = in_upright_image(boxes, image.size, header)
        except OtherSize as error:
            return str(error)
        tally.unsure += unsure and bool(objects)
        boxes, objects = _cut_off(boxes, objects, header, image, listing, tally)
    if image.objects and not objects:
        return f"none of its {len(image.objects)} objects can be used"
    tally.beyond += beyond
    tally.empty += not objects
    return _Usable(
        image.file,
        bytes_of_file,
        tuple(each.name for each in objects),
        boxes,
        tuple(each.difficult for each in objects),
    )


def _problem(each: ListedObject, listing: BoxListing) -> str:
    """Return why an object cannot be used; empty if it can, as far as its image does not matter."""
    if isinstance(each.box, str):
        return each.box
    if not each.name:
        return "has no name"
    if listing.classes is not None and each.name not in listing.classes:
        return f"is of a class that {listing.declared_in} does not list"
    return ""


def _object_error(image: ListedImage, each: ListedObject, problem: str) -> DataError:
    label = f" ({each.name})" if each.name else ""
    return DataError(image.annotation, f"{each.place}{label} {problem}")


def _cut_off(
    boxes_M4: NDArray[np.float64],
    objects: list[ListedObject],
    header: Header,
    image: ListedImage,
    listing: BoxListing,
    tally: _Tally,
) -> tuple[NDArray[np.float64], list[ListedObject]]:
    """Cut boxes off at the edges of their image; name those that lie outside of it."""
    ends = boxes_M4.reshape(-1, 2, 2)
    inside = ends.clip(0, (header.width, header.height))
    exists = np.asarray((inside[:, 1] > inside[:, 0]).all(axis=1))
    for each, is_inside in zip(objects, exists, strict=True):
        if not is_inside:
            listing.object_errors.append(_object_error(image, each, "lies outside the image"))
    excess = np.abs(ends - inside).max(axis=(1, 2), initial=0.0)[exists]
    if clipped := int((excess > 0).sum()):
        tally.clipped += clipped
        tally.clipped_in = tally.clipped_in or image.annotation
        tally.furthest = max(tally.furthest, float(excess.max()))
    kept = [each for each, is_inside in zip(objects, exists, strict=True) if is_inside]
    return inside.reshape(-1, 4)[exists], kept


def _notes(listing: BoxListing, tally: _Tally) -> Iterable[str]:
    if tally.clipped:
        boxes = "1 box reaches" if tally.clipped == 1 else f"{tally.clipped:,} boxes reach"
        yield (
            f"{boxes} beyond the image, by up to {tally.furthest:.4g} px, and the part outside is "
            f"cut off, such as in {tally.clipped_in}"
        )
    if listing.object_errors:
        number = len(listing.object_errors)
        objects = "1 object is" if number == 1 else f"{number:,} objects are"
        first = listing.object_errors[0]
        yield f"{objects} left out, such as in {first.file}: {first.reason}"
    if tally.unsure:
        images = "1 image is" if tally.unsure == 1 else f"{tally.unsure:,} images are"
        yield (
            f"{images} turned or mirrored by EXIF orientation, and nothing says whether their "
            "boxes are too: these are taken for those of the image as it is shown"
        )
    if tally.beyond:
        lie = "1 image lies" if tally.beyond == 1 else f"{tally.beyond:,} images lie"
        yield f"{lie} outside of the source's folder (data.outside = read)"
    if tally.empty == 1:
        yield "1 image has no object: all of it is background"
    elif tally.empty:
        yield f"{tally.empty:,} images have no object: all of them is background"


def _passed_over(listing: BoxListing, taken: set[str]) -> tuple[PassedOver, ...]:
    """Account for the files of the source that are neither images of it nor were read."""
    files = PassedOverFiles()
    for folder, folders, names in os.walk(listing.root):
        folders.sort()
        within = os.path.relpath(folder, listing.root).replace(os.sep, "/")
        meant = listing.holds_images("" if within == "." else within)
        for name in sorted(names):
            path = name if within == "." else f"{within}/{name}"
            if path in taken or path in listing.used:
                continue
            reason = ignored_path(path)
            if reason is None and is_image(os.path.join(folder, name), name):
                reason = _UNLISTED if meant else _OTHER_IMAGES
            elif reason is None:
                is_xml = name.lower().endswith(".xml")
                reason = _ANNOTATION if is_xml else reason_of(name)
            files.add(reason, [path])
    return files.records()
