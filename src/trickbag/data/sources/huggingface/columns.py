"""Which splits and columns of a data set hold the images and the labels of which part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.data.sources.part_names import part_of
from trickbag.data.sources.samples import label_text_of
from trickbag.errors import Note, UserError, choices, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "image_column_of",
    "images_of",
    "label_column_of",
    "parts_of",
    "require_columns",
    "texts_of",
]

_LABEL_NAMES = ("label", "labels", "class", "category", "target", "class_name", "cls")
"""Names of columns of text or numbers that are taken for the label."""


def parts_of(splits: Mapping[str, Any], spec: str) -> tuple[dict[str, Any], list[Note]]:
    """Return the split of each part, by their names; a single one is for training."""
    parts: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, split in splits.items():
        part = part_of(name)
        if part is None and len(splits) == 1:
            part = "train"
        if part is None:
            continue
        if part in parts:
            raise UserError(
                f"data source {spec!r} has several splits for {part}: {names[part]}, {name}",
                "name a subset: hf:NAME:SUBSET",
            )
        parts[part], names[part] = split, name
    if not parts:
        raise UserError(
            f"data source {spec!r} has the splits {choices(splits)}",
            "one must be named train, others may be validation and test",
        )
    unused = sorted(set(splits) - set(names.values()))
    facts = [f"splits not used: {', '.join(unused)}"] if unused else []
    return {part: parts[part] for part in ("train", "val", "test") if part in parts}, [
        Note("data", None, f"{spec}: {fact}") for fact in facts
    ]


def image_column_of(library: Any, split: Any, given: str | None, spec: str) -> str:
    """Return the column of the images: the given one, or the only one of images.

    Raises UserError if none is given and it is not clear.
    """
    if given is not None:
        return given
    features = split.features
    images: list[str] = [n for n, kind in features.items() if isinstance(kind, library.Image)]
    # Parquet files that another program wrote do not say that their bytes are images.
    images = images or [name for name, kind in features.items() if _holds_bytes(kind)]
    if len(images) != 1:
        have = (
            f"several columns of images: {', '.join(images)}" if images else "no column of images"
        )
        raise _unclear(spec, split, have, "data.image_column")
    return images[0]


def _holds_bytes(kind: Any) -> bool:
    if isinstance(kind, dict):
        return "bytes" in kind
    return getattr(kind, "dtype", None) in ("binary", "large_binary")


def label_column_of(library: Any, split: Any, given: str | None, spec: str) -> str:
    """Return the column of the labels: the given one, the only one of classes, or one so named.

    Raises UserError if none is given and it is not clear.
    """
    if given is not None:
        return given
    features = split.features
    labels: list[str] = [n for n, kind in features.items() if isinstance(kind, library.ClassLabel)]
    labels = labels or [name for name in features if name.lower() in _LABEL_NAMES]
    if len(labels) != 1:
        have = (
            f"several columns of labels: {', '.join(labels)}" if labels else "no column of labels"
        )
        raise _unclear(spec, split, have, "data.label_column")
    return labels[0]


def _unclear(spec: str, split: Any, have: str, setting: str) -> UserError:
    return UserError(
        f"data source {spec!r} has {have}; its columns are {', '.join(split.features)}",
        f"choose one with --set {setting}=NAME",
    )


def require_columns(split: Any, columns: tuple[str, str], spec: str, part: str) -> None:
    """Raise UserError unless a split has the columns of the image and of the label."""
    for column, setting in zip(columns, ("data.image_column", "data.label_column"), strict=True):
        if column not in split.features:
            raise _unclear(spec, split, f"no column {column!r} in its {part} part", setting)


def images_of(library: Any, split: Any, column: str, spec: str) -> Any:
    """Return the table of the images alone, as they are stored."""
    try:
        return split.select_columns([column]).cast_column(column, library.Image(decode=False))
    except Exception as error:
        # Of Arrow, or of the library, for a column of another type.
        raise UserError(
            f"data source {spec!r}: column {column!r} holds no images: {first_line(error)}",
            "choose one with --set data.image_column=NAME",
        ) from None


def texts_of(library: Any, split: Any, column: str, spec: str) -> list[str]:
    """Return the label of each row as text, empty where it has none.

    Raises UserError for a column of other values.
    """
    kind = split.features[column]
    values = split.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
    if isinstance(kind, library.ClassLabel):
        return ["" if value is None or value < 0 else kind.names[value] for value in values]
    try:
        return [label_text_of(value) for value in values]
    except TypeError as error:
        raise UserError(
            f"data source {spec!r}: column {column!r} holds no label: {error}",
            "choose one with --set data.label_column=NAME",
        ) from None
