"""Sources of images with masks: the class of every pixel."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any

from trickbag.data.annotations.masks.layouts import LAYOUTS, list_pairs
from trickbag.data.annotations.masks.listed import mask_source
from trickbag.data.annotations.masks.part import MaskPart
from trickbag.data.passed_over import accounting
from trickbag.errors import Note, UserError
from trickbag.paths import expanded, is_folder

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.config import DataConfig
    from trickbag.data.source import Source

__all__ = ["MaskPart", "open_masks"]

_OTHER_SETTINGS = (
    *("image_root", "val_source", "image_column", "label_column", "group_column"),
    *("multi_label", "label_separator", "merge_labels"),
)
"""Settings of sources whose images are labelled as a whole."""


def open_masks(
    data: DataConfig, *, for_training: bool = True, cache_dir: Path | None = None
) -> Source:
    """List the images of a folder with their masks; the images are not decoded, the masks are.

    `docs/segmentation.md` has the layouts. The classes are in the order of their numbers in the
    masks. Parts are `MaskPart`s. `cache_dir` is that of `scan_masks`.

    Raises UserError for a folder that has no masks or no usable image, for settings that mean
    nothing here, and if it is for training without a training part or with fewer than two classes.
    """
    defaults: dict[str, Any] = {
        each.name: None if each.default is MISSING else each.default for each in fields(data)
    }
    for name in _OTHER_SETTINGS:
        if getattr(data, name) != defaults[name]:
            raise UserError(f"data.{name} means nothing for images with masks", "leave it out")
    folder = expanded(data.source) if data.source.strip() else None
    if folder is None or not is_folder(folder):
        raise UserError(f"data source {data.source!r} is no folder", LAYOUTS)
    listing = list_pairs(folder, data.parts)
    if listing is None:
        raise UserError(f"data source {data.source!r} has no masks", LAYOUTS)
    source = mask_source(listing, data, cache_dir)
    _require_usable(source, for_training=for_training)
    taken = sum(len(part) for part in source.parts.values())
    fact = f"{source.spec}: {accounting(taken, source.passed_over)}"
    notes = (*source.notes, Note("data", None, fact)) if source.passed_over else source.notes
    parts = {
        name: replace(part, max_pixels=data.max_pixels)
        for name, part in source.parts.items()
        if isinstance(part, MaskPart)
    }
    return replace(source, parts=parts, notes=notes)


def _require_usable(source: Source, *, for_training: bool) -> None:
    """Raise UserError if there is nothing to learn, or no image of a part that is needed."""
    spec = f"data source {source.spec!r}"
    number = len(source.left_out)
    first = "".join(f": {error.file}: {error.reason}" for error in source.left_out[:1])
    left_out = f"; {number:,} are left out{first}" if number else ""
    if not any(len(part) for part in source.parts.values()):
        raise UserError(f"{spec} has no image with a mask that can be used{left_out}", LAYOUTS)
    if not for_training:
        return
    if not len(source.parts.get("train", ())):
        raise UserError(
            f"{spec} has no image to train with{left_out}",
            "name the list of the training images: --set data.parts=train:NAME,val:NAME",
        )
    if len(source.classes) < 2:
        raise UserError(
            f"{spec} has one class only, {source.classes[0]!r}",
            "segmentation needs at least two: name the background too, if there is one",
        )
