"""The source that is made of a listing of images with masks.

Shapes: N images, K classes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.annotations.masks.classes import (
    ADE_FILES,
    CLASSES,
    VOC_CLASSES,
    MaskClasses,
    numbered_names,
)
from trickbag.data.annotations.masks.part import UNKNOWN, MaskPart
from trickbag.data.annotations.masks.scan import ScannedMask, scan_masks
from trickbag.data.decoding.header import read_header
from trickbag.data.passed_over import PassedOverFiles, Reason, ignored_path, is_image, reason_of
from trickbag.data.source import DataError, Source, file_size
from trickbag.data.sources.outside import OUTSIDE, is_beyond
from trickbag.errors import Note
from trickbag.metrics.segmentation import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trickbag.data.annotations.masks.layouts import MaskListing, MaskPair
    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.header import Header
    from trickbag.data.source import PassedOver

__all__ = ["mask_source"]

_UNLISTED = Reason("no list names it", "no list of a part names it")
_MASK = Reason("mask", "the mask of an image that is not taken", True)
_OTHER_IMAGES = Reason("other image", "in another folder than the images and masks", True)


class _MaskedImage(NamedTuple):
    """An image that can be used with its mask: its bytes, and how the mask is turned."""

    pair: MaskPair
    size: int
    shape: tuple[int, int]
    orientation: int
    mask: ScannedMask


def mask_source(listing: MaskListing, data: DataConfig, cache_dir: Path | None = None) -> Source:
    """Return the source of a listing; images whose mask cannot be used are left out and named.

    The classes are in the order of their numbers in the masks. `cache_dir` is that of `scan_masks`.
    Raises UserError for a file of
    classes that cannot be read.
    """
    pairs = [pair for rows in listing.parts.values() for pair in rows]
    scan = scan_masks(listing.root, [pair.mask for pair in pairs], data.max_pixels, cache_dir)
    scanned = dict(zip(pairs, scan.masks, strict=True))
    classes = _classes(listing, data, scanned.values())
    unsure = 0
    parts = {}
    for part, rows in listing.parts.items():
        usable = []
        for pair in rows:
            result = _usable(pair, scanned[pair], listing, data, classes)
            if isinstance(result, str):
                listing.left_out.append(DataError(pair.image, result))
                continue
            usable.append(result)
            # Turned by half, or mirrored, an image has the same shape as before.
            header = read_header(listing.root / pair.image)
            unsure += header is not None and header.orientation > 1 and result.orientation == 1
        parts[part] = _part(listing, usable, classes)
    if unsure:
        are = "1 image is" if unsure == 1 else f"{unsure:,} images are"
        listing.notes.append(
            f"{are} turned or mirrored by EXIF orientation: their masks are taken for those of the "
            "image as it is shown"
        )
    taken = {name for pair in pairs for name in pair}
    return Source(
        spec=data.source,
        classes=classes.names,
        parts=parts,
        left_out=tuple(listing.left_out),
        passed_over=_passed_over(listing, taken),
        notes=(
            *(Note("data", None, f"{data.source}: {text}") for text in listing.notes),
            *scan.notes,
        ),
    )


def _classes(listing: MaskListing, data: DataConfig, scanned: Iterable[ScannedMask]) -> MaskClasses:
    """Return the classes of the numbers in the masks, by the files and rules of the layout."""
    ade = listing.kind == "ade"
    ignored = {IGNORED, *({0} if ade else ())}
    if data.ignore_index is not None:
        ignored.add(data.ignore_index)
    base = os.path.dirname(listing.images)
    for file in ADE_FILES if ade else (CLASSES,):
        name = f"{base}/{file}" if base else file
        names = numbered_names(listing.root / name, first=1 if ade else 0)
        if names is not None:
            listing.used.add(name)
            return MaskClasses.of(names, ignored, name)
    if listing.kind == "voc":
        return MaskClasses.of(dict(enumerate(VOC_CLASSES)), ignored)
    numbers = {number for mask in scanned for number in mask.numbers} - ignored
    listing.notes.append(
        f"no {CLASSES} names the classes: they are called by their numbers in the masks"
    )
    # Up to the highest, so that a class that no image shows keeps its place.
    highest = max(numbers, default=-1)
    width = len(str(highest))
    return MaskClasses.of({n: f"{n:0{width}d}" for n in range(highest + 1)}, ignored)


def _usable(
    pair: MaskPair,
    mask: ScannedMask,
    listing: MaskListing,
    data: DataConfig,
    classes: MaskClasses,
) -> _MaskedImage | str:
    """Return an image that can be used, or the reason why it is left out."""
    path = listing.root / pair.image
    if data.outside == "refuse" and any(is_beyond(listing.root / f, listing.root) for f in pair):
        return OUTSIDE
    if mask.reason is not None:
        return mask.reason
    numbers = classes.table[list(mask.numbers)]
    unknown = [n for n, label in zip(mask.numbers, numbers, strict=True) if label == UNKNOWN]
    if unknown:
        return (
            f"its mask {os.path.basename(pair.mask)} has the number {unknown[0]}, which is none of "
            f"the {classes.known} classes of {classes.declared_in or 'the source'}"
        )
    if (numbers == IGNORED).all():
        return f"its mask {os.path.basename(pair.mask)} has no pixel of a class"
    header = read_header(path)
    shape, orientation = (mask.height, mask.width), 1
    if header is not None:
        if shape == header.stored != (header.height, header.width):
            orientation = header.orientation
        elif shape != (header.height, header.width):
            return _other_size(mask, header)
        shape = header.height, header.width
    # Of a damaged image the check of all images says what is wrong.
    return _MaskedImage(pair, file_size(path), shape, orientation, mask)


def _other_size(mask: ScannedMask, header: Header) -> str:
    return (
        f"its mask is {mask.width}x{mask.height} px, and the image "
        f"{header.width}x{header.height} px"
    )


def _part(listing: MaskListing, usable: list[_MaskedImage], classes: MaskClasses) -> MaskPart:
    labels_NK = np.zeros((len(usable), len(classes.names)), np.int64)
    for i, image in enumerate(usable):
        numbers = classes.table[list(image.mask.numbers)]
        labels_NK[i, numbers[numbers != IGNORED]] = 1
    digests = b"".join(bytes.fromhex(image.mask.digest) for image in usable)
    return MaskPart(
        names=tuple(image.pair.image for image in usable),
        labels=labels_NK,
        sizes=np.array([image.size for image in usable], np.int64),
        root=os.path.abspath(listing.root),
        masks=tuple(image.pair.mask for image in usable),
        table=classes.table,
        mask_sizes=np.array([image.mask.size for image in usable], np.int64),
        shapes=np.array([image.shape for image in usable], np.int64).reshape(-1, 2),
        orientations=np.array([image.orientation for image in usable], np.int64),
        digests=np.frombuffer(digests, np.uint8).reshape(-1, 16),
    )


def _passed_over(listing: MaskListing, taken: set[str]) -> tuple[PassedOver, ...]:
    """Account for the files of the source that are neither images or masks of it nor were read."""
    named = taken | listing.used | {error.file for error in listing.left_out}
    files = PassedOverFiles()
    for folder, folders, names in os.walk(listing.root):
        folders.sort()
        within = os.path.relpath(folder, listing.root).replace(os.sep, "/")
        for name in sorted(names):
            path = name if within == "." else f"{within}/{name}"
            if path in named:
                continue
            reason = ignored_path(path)
            if reason is None and is_image(os.path.join(folder, name), name):
                reason = _OTHER_IMAGES
                if path.startswith(f"{listing.images}/"):
                    reason = _UNLISTED
                elif path.startswith(f"{listing.masks}/"):
                    reason = _MASK
            files.add(reason or reason_of(name), [path])
    return files.records()
