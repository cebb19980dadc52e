"""Where the images, the masks and the lists of parts lie in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.parts_setting import given_folders
from trickbag.data.passed_over import ignored, ignored_path
from trickbag.data.source import DataError
from trickbag.data.sources.part_names import part_name
from trickbag.errors import UserError, choices
from trickbag.files import read_text
from trickbag.paths import TABLE, is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["LAYOUTS", "MaskListing", "MaskPair", "list_pairs"]

LAYOUTS = (
    "a source of masks is a folder with images/ and masks/, with JPEGImages/ and "
    "SegmentationClass/ as Pascal VOC has them, or with images/ and annotations/ as ADE20K has them"
)
_MASKS = ("masks", "annotations")
_MASK_EXTENSIONS = frozenset({".png", ".tif", ".tiff", ".bmp", ".dib"})
_OTHERS = EXTENSIONS - _MASK_EXTENSIONS
"""What is no mask, but named as one: it is then left out by name."""


class MaskPair(NamedTuple):
    """An image and its mask, files relative to the source."""

    image: str
    mask: str


@dataclass(kw_only=True)
class MaskListing:
    """The images with masks of a folder, by part, and what of it cannot be used.

    kind: `splits`, `voc` or `ade`. images, masks: the folders of them, relative to the source.
    used: files that are no images, and were read.
    """

    root: Path
    kind: str
    images: str
    masks: str
    parts: dict[str, list[MaskPair]] = field(default_factory=dict)
    left_out: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


class _ImageList(NamedTuple):
    """A list of images, or a folder of them, and the part that it is; `ids` None for a folder."""

    part: str
    name: str
    ids: tuple[str, ...] | None


def list_pairs(folder: Path, parts: Sequence[str] | None) -> MaskListing | None:
    """List the images with masks of a folder; None if it has no layout that is known.

    `parts` is `data.parts`: which list, or which folder of images, is which part. An image and its
    mask have the same name but for the extension. Raises UserError for lists that are not there,
    and for an image in two parts.
    """
    listing = _layout(folder)
    if listing is None:
        return None
    available = _available(listing)
    for selection in _selected(listing, available, parts):
        errors = _add(listing, selection)
        if selection.part == "test" and not listing.parts["test"]:
            # As the test images of a competition, of which nothing is known.
            del listing.parts["test"]
            listing.notes.append("no image of the test part has a mask: it is not used")
        else:
            listing.left_out += errors
    return listing


def _layout(folder: Path) -> MaskListing | None:
    places = [folder, *(folder / name for name in _folders_in(folder))]
    places += [folder / "VOCdevkit" / name for name in _folders_in(folder / "VOCdevkit")]
    voc = [place for place in places if is_folder(place / "SegmentationClass")]
    if len(voc) > 1 and voc[0] != folder:
        raise UserError(
            f"data source {str(folder)!r} has masks in {choices(place.name for place in voc)}",
            "give one of these folders",
        )
    if voc:
        name = _joined("", voc[0].relative_to(folder).as_posix())
        return MaskListing(
            root=folder,
            kind="voc",
            images=_joined(name, "JPEGImages"),
            masks=_joined(name, "SegmentationClass"),
        )
    masks = next((name for name in _MASKS if is_folder(folder / name)), None)
    if masks is None or not is_folder(folder / "images"):
        return None
    is_ade = masks == "annotations" and bool(_part_folders(folder / masks))
    kind = "ade" if is_ade else "splits"
    return MaskListing(root=folder, kind=kind, images="images", masks=masks)


def _folders_in(folder: Path) -> list[str]:
    if not is_folder(folder):
        return []
    names = sorted(name for name in os.listdir(folder) if ignored(name) is None)
    return [name for name in names if (folder / name).is_dir()]


def _part_folders(folder: Path) -> dict[str, str]:
    """Return the folders in a folder that are parts by their names, and which they are."""
    meant = {name: part_name(name) for name in _folders_in(folder)}
    return {name: part.part for name, part in meant.items() if part is not None and part.rank < 2}


def _available(listing: MaskListing) -> dict[str, _ImageList]:
    """Return the lists of images, or the folders of them, by name, as the parts that they mean."""
    voc = listing.kind == "voc"
    base = listing.images.rpartition("/")[0]
    lists = _joined(base, "ImageSets/Segmentation") if voc else "splits"
    folder = listing.root / lists
    selections: dict[str, _ImageList] = {}
    names = sorted(os.listdir(folder)) if is_folder(folder) else []
    for file in names:
        name, extension = os.path.splitext(file)
        meant = part_name(name)
        if extension != ".txt" or meant is None or meant.rank > 1:
            continue
        text = read_text(folder / file, TABLE) or ""
        ids = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        selections[name] = _ImageList(meant.part, name, ids)
        listing.used.add(_joined(lists, file))
    if not selections:
        by_folder = _part_folders(listing.root / listing.images)
        for name, part in by_folder.items():
            selections[name] = _ImageList(part, name, None)
    return selections


def _selected(
    listing: MaskListing, available: dict[str, _ImageList], parts: Sequence[str] | None
) -> list[_ImageList]:
    if parts is not None:
        return [_given(listing, available, part, name) for part, name in given_folders(parts)]
    if not available:
        return [_ImageList("train", "", None)]
    # `trainval` is the images of both: it is taken where there is no list of `train`.
    plain = {name: each for name, each in available.items() if name.lower() != "trainval"}
    has_train = any(each.part == "train" for each in plain.values())
    chosen = list(plain.values()) if has_train else list(available.values())
    if not has_train:
        chosen = [each for each in chosen if each.part != "val"]
    present = [each.part for each in chosen]
    twice = {part for part in present if present.count(part) > 1}
    if twice:
        names = choices(each.name for each in chosen if each.part in twice)
        raise UserError(
            f"data source {str(listing.root)!r}: {names} are all the part {min(twice)}",
            "choose with --set data.parts=train:NAME,val:NAME",
        )
    if "val" not in present and "test" in present:
        listing.notes.append("there is no val part: the test part validates")
        chosen = [each._replace(part="val") if each.part == "test" else each for each in chosen]
    return chosen


def _given(
    listing: MaskListing, available: dict[str, _ImageList], part: str, name: str
) -> _ImageList:
    if name not in available:
        has = f"it has {choices(available)}" if available else "it has no lists of images"
        raise UserError(f"data.parts: {listing.root} has no list {name!r} of images", has)
    return available[name]._replace(part=part)


def _add(listing: MaskListing, selection: _ImageList) -> list[DataError]:
    """Add the images of a list or a folder to the part that it is; return those left out."""
    errors = []
    within = selection.name if selection.ids is None else ""
    images = _by_stem(listing.root, _joined(listing.images, within), EXTENSIONS)
    masks = _by_stem(listing.root, _joined(listing.masks, within), _MASK_EXTENSIONS)
    others = _by_stem(listing.root, _joined(listing.masks, within), _OTHERS)
    pairs = listing.parts.setdefault(selection.part, [])
    taken = {pair.image: part for part, rows in listing.parts.items() for pair in rows}
    for stem in images if selection.ids is None else selection.ids:
        stem, problem = _resolved(stem, images)
        place = _joined(listing.images, _joined(within, stem))
        if problem:
            reason = f"the list {selection.name}.txt names it, and {problem}"
            errors.append(DataError(place, reason))
            continue
        image = images[stem][0]
        files = masks.get(stem) or others.get(stem, [])
        if image in taken:
            if taken[image] != selection.part:
                raise UserError(
                    f"data source {str(listing.root)!r}: {image} is in the lists of two parts, "
                    f"{taken[image]} and {selection.part}",
                    "an image belongs to one part: see data.parts",
                )
            continue
        if len(files) != 1:
            errors.append(DataError(image, _no_mask(listing.masks, within, stem, files)))
            continue
        taken[image] = selection.part
        pairs.append(MaskPair(image, files[0]))
    pairs.sort()
    return errors


def _resolved(stem: str, images: dict[str, list[str]]) -> tuple[str, str]:
    """Return the name of a listed image without its extension, and why it cannot be used."""
    shorter, extension = os.path.splitext(stem)
    if stem not in images and extension.lower() in EXTENSIONS:
        stem = shorter
    steps = stem.replace("\\", "/").split("/")
    if os.path.isabs(stem) or ".." in steps:
        return stem, "it leads out of the folder of images"
    if stem not in images:
        return stem, "there is no such image"
    if len(images[stem]) > 1:
        return stem, f"there are {' and '.join(images[stem])}"
    return stem, ""


def _no_mask(masks: str, within: str, stem: str, files: list[str]) -> str:
    if files:
        return f"it has more than one mask: {' and '.join(files)}"
    return f"it has no mask {_joined(masks, _joined(within, stem))}.png"


def _by_stem(root: Path, folder: str, extensions: frozenset[str]) -> dict[str, list[str]]:
    """Return the files in a folder with one of the extensions, by name without it, in order."""
    by_stem: dict[str, list[str]] = {}
    for name in _files_below(str(root / folder)):
        stem, extension = os.path.splitext(name)
        if extension.lower() in extensions and ignored_path(name) is None:
            by_stem.setdefault(stem, []).append(_joined(folder, name))
    return dict(sorted(by_stem.items()))


def _files_below(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        within = os.path.relpath(place, folder).replace(os.sep, "/")
        for name in sorted(names):
            yield name if within == "." else f"{within}/{name}"


def _joined(folder: str, name: str) -> str:
    name = "" if name == "." else name
    return f"{folder}/{name}" if folder and name else folder or name
