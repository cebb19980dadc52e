"""A data set of the library `datasets` as a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trickbag.data.source import Source
from trickbag.data.sources.huggingface.columns import (
    find_hub_columns,
    images_of,
    parts_of,
    require_columns,
    texts_of,
)
from trickbag.data.sources.huggingface.listing import Listing
from trickbag.data.sources.huggingface.loading import import_library, load_splits, located
from trickbag.data.sources.samples import label_parts
from trickbag.errors import Note

if TYPE_CHECKING:
    from trickbag.data.source import EncodedPart

__all__ = ["open_huggingface"]


def open_huggingface(
    name: str,
    spec: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    na_labels: Literal["missing", "class"] = "missing",
    outside: Literal["read", "refuse"] = "read",
    strict: bool = True,
) -> Source:
    """List a data set `NAME[:SUBSET]` of the Hugging Face Hub, or of a folder on disk.

    A folder is what the library `datasets` loads: images in class folders, with metadata or not,
    Parquet files, or what `save_to_disk` has written. `parts_of` says which split is which part,
    `find_hub_columns` which columns are the image and the label. Rows without an image or a label
    are passed over; see `is_missing` for `na_labels`. Images are stored bytes or files: they are
    not decoded by the library. Files `outside` of the folder, or of the library's cache, are left
    out with `refuse`. Unless it is `strict`, columns that are given may be missing.

    Raises UserError without the library, for what it cannot load, and for columns that are not
    there or not clear.
    """
    library = import_library(spec)
    place, subset = located(name, spec)
    loaded = load_splits(library, place, subset, spec)
    split_of, facts = parts_of(loaded.splits, spec)
    columns = find_hub_columns(
        library,
        next(iter(split_of.values())),
        spec,
        image=image_column,
        label=label_column,
        group=group_column,
        strict=strict,
    )
    root = place if isinstance(place, Path) else Path(library.config.HF_DATASETS_CACHE)
    listing = Listing(spec, root, isinstance(place, Path), outside)
    parts: dict[str, EncodedPart] = {}
    texts: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    for part, split in split_of.items():
        require_columns(split, columns, spec, part)
        images = images_of(library, split, columns.image, spec)
        parts[part], rows = listing.part(part, images, columns.image)
        labels = texts_of(library, split, columns.label, spec, "data.label_column")
        texts[part] = [labels[row] for row in rows]
        if columns.group is not None:
            values = texts_of(library, split, columns.group, spec, "data.group_column")
            groups[part] = [values[row] for row in rows]
    labelled = label_parts(
        spec,
        parts,
        texts,
        groups,
        # A class that a data set declares is one, whatever it is called.
        na_labels="class" if columns.declared else na_labels,
        reason=f"no label in column {columns.label!r}",
        way_out="choose the column with --set data.label_column=NAME",
    )
    facts += [*loaded.facts, *columns.facts, *labelled.facts, *listing.facts()]
    return Source(
        spec=spec,
        classes=labelled.classes,
        parts=labelled.parts,
        left_out=tuple(listing.left_out),
        passed_over=(*labelled.passed_over, *listing.passed_over(loaded.files)),
        notes=tuple(Note("data", None, f"{spec}: {fact}") for fact in facts),
    )
