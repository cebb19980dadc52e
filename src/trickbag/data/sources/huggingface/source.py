"""A data set of the library `datasets` as a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trickbag.data.source import Source
from trickbag.data.sources.huggingface.columns import (
    image_column_of,
    images_of,
    label_column_of,
    parts_of,
    require_columns,
    texts_of,
)
from trickbag.data.sources.huggingface.library import import_library, load_splits, located
from trickbag.data.sources.huggingface.listing import Listing
from trickbag.data.sources.samples import label_parts

if TYPE_CHECKING:
    from trickbag.data.source import EncodedPart

__all__ = ["open_huggingface"]


def open_huggingface(
    name: str,
    spec: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    outside: Literal["read", "refuse"] = "read",
) -> Source:
    """List a data set `NAME[:SUBSET]` of the Hugging Face Hub, or of a folder on disk.

    A folder is what the library `datasets` loads: images in class folders, with metadata or not,
    Parquet files, or what `save_to_disk` has written. Splits become parts by their names. The image
    is the column of images, the label that of classes, unless the columns are given. Rows without
    an image or a label are passed over. Images are stored bytes or files; they are not decoded by
    the library. Files `outside` of the folder, or of the library's cache, are left out with
    `refuse`.

    Raises UserError without the library, for what it cannot load, and for columns that are not
    there or not clear.
    """
    library = import_library(spec)
    place, subset = located(name, spec)
    splits, data_files = load_splits(library, place, subset, spec)
    split_of, notes = parts_of(splits, spec)
    column = image_column_of(library, next(iter(split_of.values())), image_column, spec)
    label = label_column_of(library, next(iter(split_of.values())), label_column, spec)
    root = place if isinstance(place, Path) else Path(library.config.HF_DATASETS_CACHE)
    listing = Listing(spec, root, isinstance(place, Path), outside)
    parts: dict[str, EncodedPart] = {}
    texts: dict[str, list[str]] = {}
    for part, split in split_of.items():
        require_columns(split, (column, label), spec, part)
        parts[part], texts[part] = listing.part(
            part,
            images_of(library, split, column, spec),
            column,
            texts_of(library, split, label, spec),
        )
    labelled = label_parts(
        spec, parts, texts, reason=f"no label in column {label!r}", way_out="choose the column"
    )
    return Source(
        spec=spec,
        classes=labelled.classes,
        parts=labelled.parts,
        left_out=tuple(listing.left_out),
        passed_over=(*labelled.passed_over, *listing.passed_over(data_files)),
        notes=(*notes, *labelled.notes, *listing.notes()),
    )
