"""Folders of images with annotations in XML, as Pascal VOC and labelling tools lay them out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.annotations.boxes.listed import BoxListing, ListedImage, ListedObject
from trickbag.data.annotations.boxes.voc_xml import (
    Unusable,
    VocImages,
    files_below,
    image_ids,
    read_annotation,
)
from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.parts_setting import given_folders
from trickbag.data.source import DataError
from trickbag.data.sources.part_names import part_name
from trickbag.errors import UserError, choices
from trickbag.paths import exists, is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["list_voc"]

_XML = frozenset({".xml"})
_ANNOTATIONS, _IMAGES = "Annotations", "JPEGImages"
_LISTS = ("train", "val", "test", "trainval")
_PARTS = ("train", "val", "test")


class _Root(NamedTuple):
    """A folder with annotations: its name relative to the source, and those of its two folders.

    `lists` are the images that each list of a part names.
    """

    name: str
    annotations: str
    images: str
    lists: dict[str, tuple[str, ...]]


class _Selection(NamedTuple):
    """The part of an image, and the root and the list that say so; no list for all of a root."""

    part: str
    root: _Root
    list: str | None


def list_voc(folder: Path, parts: Sequence[str] | None) -> BoxListing | None:
    """List the annotated images of a folder; None if it has no annotations in XML.

    The folder has `Annotations`, `JPEGImages` and lists of the parts in `ImageSets/Main`, or it
    holds such folders, one for each year, by itself or within `VOCdevkit`; or XML files lie beside
    the images, in folders of parts or all in one. `parts` is `data.parts`: which list is which
    part. Raises UserError for lists that are not there.
    """
    roots = list(_roots(folder))
    if not roots:
        return None
    annotated = {root.name: _annotations_of(folder, root) for root in roots}
    roots, unlabelled = _without_unlabelled(roots, annotated)
    selections, notes = _selected(folder, roots, parts)
    listing = BoxListing(root=folder, notes=[*unlabelled, *notes])
    folders = {root.images for root in roots}
    listing.holds_images = lambda name: any(_is_within(name, each) for each in folders)
    for root in roots:
        chosen = [each for each in selections if each.root is root]
        _list_root(folder, root, chosen, annotated[root.name], listing)
    _count_from_zero(listing)
    return listing


def _roots(folder: Path) -> Iterator[_Root]:
    """Yield the folders with annotations, in order."""
    places = [folder, *_folders_in(folder), *_folders_in(folder / "VOCdevkit")]
    structured = [place for place in places if is_folder(place / _ANNOTATIONS)]
    if structured and structured[0] == folder:
        structured = [folder]
    for place in structured:
        name = _relative(place, folder)
        images = place / _IMAGES if is_folder(place / _IMAGES) else place
        annotations = _relative(place / _ANNOTATIONS, folder)
        yield _Root(name, annotations, _relative(images, folder), _lists_of(place))
    if structured:
        return
    named = [place for place in _folders_in(folder) if _part_of_folder(place.name)]
    with_files = [place for place in named if next(files_below(place, _XML), None)]
    for place in with_files or [folder]:
        if next(files_below(place, _XML), None) is not None:
            name = _relative(place, folder)
            yield _Root(name, name, name, {})


def _folders_in(folder: Path) -> list[Path]:
    if not is_folder(folder):
        return []
    places = [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    return [place for place in places if place.is_dir()]


def _part_of_folder(name: str) -> str | None:
    """Return the part that a folder is by its name, with no other words in it."""
    meant = part_name(name)
    return meant.part if meant is not None and meant.rank < 2 else None


def _lists_of(place: Path) -> dict[str, tuple[str, ...]]:
    folder = place / "ImageSets" / "Main"
    paths = {name: folder / f"{name}.txt" for name in _LISTS}
    return {name: image_ids(path) for name, path in paths.items() if exists(path)}


def _selected(
    folder: Path, roots: list[_Root], parts: Sequence[str] | None
) -> tuple[list[_Selection], list[str]]:
    """Return which list of which root is which part, and what a person has to know of that."""
    if parts is not None:
        return list(_given(folder, roots, parts)), []
    if any(root.lists for root in roots):
        chosen = [each for root in roots for each in _by_lists(root)]
    else:
        by_name = [_part_of_folder(root.name.rpartition("/")[2]) for root in roots]
        chosen = [
            _Selection(part or "train", root, None)
            for root, part in zip(roots, by_name, strict=True)
        ]
    present = {each.part for each in chosen}
    if "val" not in present and "test" in present:
        chosen = [each._replace(part="val") if each.part == "test" else each for each in chosen]
        return chosen, ["there is no val part: the test part validates"]
    return chosen, []


def _by_lists(root: _Root) -> Iterator[_Selection]:
    """Yield the parts of a root by its lists; `trainval` trains where there is no `train`."""
    if not root.lists:
        yield _Selection("train", root, None)
        return
    train = "train" if "train" in root.lists else "trainval"
    names = {"train": train, "val": "val", "test": "test"}
    for part, name in names.items():
        if name in root.lists and not (part == "val" and train == "trainval"):
            yield _Selection(part, root, name)


def _given(folder: Path, roots: list[_Root], parts: Sequence[str]) -> Iterator[_Selection]:
    """Yield the parts that `data.parts` names: a list of all roots, or of one as `ROOT/LIST`."""
    known = {
        f"{_short(root)}/{name}" if _short(root) else name: (root, name)
        for root in roots
        for name in root.lists
    }
    for part, text in given_folders(parts):
        chosen = [
            _Selection(part, *place)
            for title, place in known.items()
            if title == text or ("/" not in text and place[1] == text)
        ]
        if not chosen:
            has = f"it has {choices(known)}" if known else "it has no lists in ImageSets/Main"
            raise UserError(f"data.parts: {folder} has no list {text!r} of images", has)
        yield from chosen


def _short(root: _Root) -> str:
    return root.name.removeprefix("VOCdevkit/") if root.name != "." else ""


def _annotations_of(folder: Path, root: _Root) -> dict[str, str]:
    """Return the annotations of a root by the names of their images."""
    files = files_below(folder / root.annotations, _XML)
    return {os.path.splitext(name)[0]: name for name in files}


def _without_unlabelled(
    roots: list[_Root], annotated: dict[str, dict[str, str]]
) -> tuple[list[_Root], list[str]]:
    """Leave out lists none of whose images has an annotation, such as that of VOC 2012's test."""
    kept, notes = [], []
    for root in roots:
        known = annotated[root.name].keys()
        lists = {name: ids for name, ids in root.lists.items() if not known.isdisjoint(ids)}
        for name in root.lists.keys() - lists.keys():
            file = _joined(root.name, f"ImageSets/Main/{name}.txt")
            number = len(root.lists[name])
            notes.append(f"{file} is not used: none of its {number:,} images has an annotation")
        kept.append(root._replace(lists=lists) if lists or not root.lists else root)
    return kept, notes


def _list_root(
    folder: Path,
    root: _Root,
    selections: list[_Selection],
    by_id: dict[str, str],
    listing: BoxListing,
) -> None:
    """Add the annotated images of a root that a selection takes; `by_id` are its annotations."""
    listing.used |= {_joined(root.name, f"ImageSets/Main/{name}.txt") for name in _LISTS}
    images = VocImages(files_below(folder / root.images, EXTENSIONS))
    taken: dict[str, str] = {}
    for part, _, name in selections:
        ids = tuple(by_id) if name is None else tuple(dict.fromkeys(root.lists[name]))
        for image_id in ids:
            if image_id not in by_id:
                reason = f"the list {name}.txt names it, and it has no annotation"
                listing.left_out.append(DataError(_joined(root.images, image_id), reason))
                continue
            if taken.setdefault(image_id, part) != part:
                reason = f"it is in the lists of two parts, {taken[image_id]} and {part}"
                raise UserError(
                    f"data source {folder}: {_joined(root.images, image_id)}: {reason}",
                    "an image belongs to one part: see data.parts",
                )
            _add(folder, root, by_id[image_id], images, listing, part)


def _add(
    folder: Path, root: _Root, file: str, images: VocImages, listing: BoxListing, part: str
) -> None:
    annotation = _joined(root.annotations, file)
    listing.used.add(annotation)
    try:
        objects, written, size = read_annotation(folder / annotation)
        image = images.of(os.path.splitext(file)[0], written)
    except (UserError, ValueError, Unusable) as error:
        listing.left_out.append(DataError(annotation, str(error)))
        return
    listed = tuple(
        ListedObject(f"object {place}", name, box, difficult)
        for place, (name, box, difficult) in enumerate(objects, 1)
    )
    entry = ListedImage(_joined(root.images, image), annotation, size, listed)
    listing.parts.setdefault(part, []).append(entry)


def _count_from_zero(listing: BoxListing) -> None:
    """Make continuous edges of the numbers in the files: the first pixel is from 0 to 1.

    Pascal VOC counts pixels from 1, and a box includes those of both its edges. Where a box begins
    at 0 the numbers were not counted so: they are the edges themselves.
    """
    boxes = [
        each.box
        for images in listing.parts.values()
        for image in images
        for each in image.objects
        if not isinstance(each.box, str)
    ]
    at_zero = sum(0 <= min(box[0], box[1]) < 1 for box in boxes)
    if at_zero:
        begin = "1 box begins" if at_zero == 1 else f"{at_zero:,} boxes begin"
        listing.notes.append(
            f"{begin} at 0: the numbers of all boxes are read as edges counted from 0, not as "
            "pixels counted from 1, which Pascal VOC has"
        )
        return
    for part, images in listing.parts.items():
        listing.parts[part] = [
            image._replace(objects=tuple(_from_zero(each) for each in image.objects))
            for image in images
        ]


def _from_zero(each: ListedObject) -> ListedObject:
    if isinstance(each.box, str):
        return each
    left, top, right, bottom = each.box
    return each._replace(box=(left - 1, top - 1, right, bottom))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _is_within(name: str, folder: str) -> bool:
    return folder == "." or name == folder or name.startswith(f"{folder}/")
