"""Sources of images with the boxes of their objects."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any

from trickbag.data.annotations.boxes.coco import list_coco
from trickbag.data.annotations.boxes.listed import box_source
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.annotations.boxes.voc import list_voc
from trickbag.data.passed_over import accounting
from trickbag.data.trainable import require_trainable
from trickbag.errors import Note, UserError
from trickbag.files import read_text
from trickbag.paths import TABLE, expanded, is_folder

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.annotations.boxes.listed import BoxListing
    from trickbag.data.config import DataConfig
    from trickbag.data.source import Source

__all__ = ["BoxPart", "open_boxes"]

_LAYOUTS = (
    "a source of boxes is a folder with Annotations/ and JPEGImages/ as Pascal VOC has them, with "
    "XML files beside the images, or with annotations/instances_train.json or "
    "train/_annotations.coco.json as COCO has them"
)
_CLASSES = "classes.txt"
_OTHER_SETTINGS = (
    *("image_root", "val_source", "image_column", "label_column", "group_column"),
    *("multi_label", "label_separator", "merge_labels"),
)
"""Settings of sources whose images are labelled as a whole."""


def open_boxes(data: DataConfig, *, for_training: bool = True) -> Source:
    """List the images of a folder with the boxes of their objects; nothing is decoded.

    `docs/detection.md` has the layouts. The classes are those of the objects, or of the file
    `classes.txt`, ordered by name. Parts are `BoxPart`s. Raises UserError for a folder that has no
    annotations or no usable image, for settings that mean nothing here, and if it is for training
    where a part has classes that the training part has not.
    """
    defaults: dict[str, Any] = {
        each.name: None if each.default is MISSING else each.default for each in fields(data)
    }
    for name in _OTHER_SETTINGS:
        if getattr(data, name) != defaults[name]:
            raise UserError(f"data.{name} means nothing for images with boxes", "leave it out")
    folder = expanded(data.source) if data.source.strip() else None
    if folder is None or not is_folder(folder):
        raise UserError(f"data source {data.source!r} is no folder", _LAYOUTS)
    listing = _listing(folder, data)
    _declare_classes(folder, listing)
    source = box_source(listing, data)
    _require_images(source)
    if for_training:
        require_trainable(source, fewest_classes=1)
    taken = sum(len(part) for part in source.parts.values())
    fact = f"{source.spec}: {accounting(taken, source.passed_over)}"
    notes = (*source.notes, Note("data", None, fact)) if source.passed_over else source.notes
    parts = {
        name: replace(part, max_pixels=data.max_pixels)
        for name, part in source.parts.items()
        if isinstance(part, BoxPart)
    }
    return replace(source, parts=parts, notes=notes)


def _listing(folder: Path, data: DataConfig) -> BoxListing:
    listing = list_coco(folder)
    if listing is not None and data.parts is not None:
        raise UserError(
            "data.parts names lists of Pascal VOC, and the annotations of data source "
            f"{data.source!r} are COCO's JSON",
            "leave it out",
        )
    listing = listing or list_voc(folder, data.parts)
    if listing is None:
        raise UserError(f"data source {data.source!r} has no annotations", _LAYOUTS)
    return listing


def _declare_classes(folder: Path, listing: BoxListing) -> None:
    """Take the classes of `classes.txt`, a name on each line, where nothing else declares them."""
    text = read_text(folder / _CLASSES, TABLE)
    if text is None or listing.classes is not None:
        return
    names = {line.strip() for line in text.splitlines()} - {""}
    if not names:
        raise UserError(f"{folder / _CLASSES} names no class", "write a name on each line")
    listing.classes, listing.declared_in = tuple(sorted(names)), _CLASSES
    listing.used.add(_CLASSES)


def _require_images(source: Source) -> None:
    """Raise UserError if no image, or no object, can be used."""
    spec = f"data source {source.spec!r}"
    number = len(source.left_out)
    first = "".join(f": {error.file}: {error.reason}" for error in source.left_out[:1])
    left_out = f"; {number:,} are left out{first}" if number else ""
    if not any(len(part) for part in source.parts.values()):
        raise UserError(f"{spec} has no image that can be used{left_out}", _LAYOUTS)
    if not any(part.labels.any() for part in source.parts.values()):
        raise UserError(f"{spec} has no object that can be used{left_out}", _LAYOUTS)
