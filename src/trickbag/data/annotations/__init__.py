"""Sources by what is annotated in their images: classes, the boxes of objects, masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trickbag.data.config import DataConfig
from trickbag.errors import UserError, shown

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Source

__all__ = ["AnnotationKind", "open_annotated"]

AnnotationKind = Literal["classes", "boxes", "masks"]
"""What is annotated in images: their classes, the boxes of objects, or the class of each pixel."""

_OF_MASKS = ("ignore_index", "mask_scale")
"""Settings that mean something for masks alone."""


def open_annotated(
    data: DataConfig,
    annotations: AnnotationKind,
    *,
    cache_dir: Path | None = None,
    fresh: bool = False,
    for_training: bool = True,
) -> Source:
    """List the images of `data.source` with their annotations; nothing is decoded.

    `cache_dir` and `fresh` are those of `open_source`, for a source of classes; `cache_dir` also
    holds what is known of masks. If it is not `for_training`, the training part need not have every
    class. Raises UserError for a source that cannot be used, or that has other annotations.
    """
    unused = [each for each in _OF_MASKS if getattr(data, each) != getattr(DataConfig, each)]
    if unused and annotations != "masks":
        raise UserError(
            f"data.{unused[0]} = {shown(getattr(data, unused[0]))} is for images with masks",
            "leave it out",
        )
    if annotations != "classes":
        _refuse_pack(data, annotations)
    if annotations == "boxes":
        from trickbag.data.annotations.boxes import open_boxes

        return open_boxes(data, for_training=for_training)
    if annotations == "masks":
        from trickbag.data.annotations.masks import open_masks

        return open_masks(data, for_training=for_training, cache_dir=cache_dir)
    from trickbag.data.sources import open_source

    return open_source(data, cache_dir=cache_dir, fresh=fresh, for_training=for_training)


def _refuse_pack(data: DataConfig, annotations: AnnotationKind) -> None:
    """Raise UserError for a pack, whose images have classes alone."""
    from trickbag.data.sources import is_folder_source, is_pack

    if is_pack(data.source) and not is_folder_source(data.source):
        raise UserError(
            f"data source {data.source!r} is a pack, which holds images with classes, and no "
            f"{annotations}",
            "give the folder of the images",
        )
