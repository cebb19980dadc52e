"""Which splits and columns of a data set hold the images, labels and groups of which part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.data.sources.part_names import part_name, part_of
from trickbag.data.sources.samples import label_text_of
from trickbag.data.sources.table.vocabulary import folded_name, role_of
from trickbag.errors import UserError, choices, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HubColumns", "find_hub_columns", "images_of", "parts_of", "require_columns", "texts_of"]


@dataclass(frozen=True, kw_only=True)
class HubColumns:
    """The names of the columns of images, labels and groups; facts about the choice.

    declared: whether the labels are of a type that lists its classes.
    """

    image: str
    label: str
    group: str | None = None
    declared: bool = False
    facts: tuple[str, ...] = ()


def parts_of(splits: Mapping[str, Any], spec: str) -> tuple[dict[str, Any], list[str]]:
    """Return the table of each part, and facts about the choice.

    Splits are parts by their names. A single split is divided by its column of parts if it has
    one, else it is for training, unless its name says another part. Raises UserError if two splits
    are one part, or none is any.
    """
    if len(splits) == 1:
        ((name, split),) = splits.items()
        column = _column_of_parts(split)
        if column is not None:
            return _divided(split, column), [f"the column {column!r} divides it into parts"]
        named = part_name(name)
        return {"train" if named is None else named.part: split}, []
    parts: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, split in splits.items():
        named = part_name(name)
        if named is None:
            continue
        part = named.part
        if part in parts:
            raise UserError(
                f"data source {spec!r} has more than one split for {part}: {names[part]}, {name}",
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
    return {part: parts[part] for part in ("train", "val", "test") if part in parts}, facts


def _column_of_parts(split: Any) -> str | None:
    """Return the column of which every value names a part, if there is one."""
    for name in split.features:
        if role_of(name)[0] == "split":
            values = split.unique(name)
            if values and all(isinstance(value, str) and part_of(value) for value in values):
                return str(name)
    return None


def _divided(split: Any, column: str) -> dict[str, Any]:
    values = [part_of(value) for value in split[column]]
    rows = {part: [i for i, value in enumerate(values) if value == part] for part in set(values)}
    rest = split.remove_columns([column])
    return {part: rest.select(rows[part]) for part in ("train", "val", "test") if part in rows}


def find_hub_columns(
    library: Any,
    split: Any,
    spec: str,
    *,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    strict: bool = True,
) -> HubColumns:
    """Find the columns of a table: those given, else the image by its type, the label by its own.

    Unless it is `strict`, columns that are given may be missing. Raises UserError if a given one
    is missing, or one that is not given is not clear.
    """
    names = {
        setting: _given(split, name, f"data.{setting}", spec, strict=strict)
        for setting, name in (
            ("image_column", image),
            ("label_column", label),
            ("group_column", group),
        )
    }
    image = names["image_column"] or _image_column(library, split, spec)
    label, fact = names["label_column"], None
    if label is None:
        label, fact = _label_column(library, split, {image, names["group_column"]}, spec)
    used = {image, label, names["group_column"]}
    facts = [fact] if fact else []
    unused = [name for name in split.features if name not in used]
    for name in [name for name in unused if role_of(name)[0] == "group"]:
        unused.remove(name)
        facts.append(
            f"the column {name!r} is not used; where images of one {name!r} belong together: "
            f"--set data.group_column={name}"
        )
    if unused:
        facts.append(f"columns not used: {', '.join(unused)}")
    return HubColumns(
        image=image,
        label=label,
        group=names["group_column"],
        declared=isinstance(split.features[label], library.ClassLabel),
        facts=tuple(facts),
    )


def _given(split: Any, name: str | None, setting: str, spec: str, *, strict: bool) -> str | None:
    """Return the column of a name that a setting gives, as a table would be asked for it."""
    if name is None or name in split.features:
        return name
    matches = [other for other in split.features if folded_name(other) == folded_name(name)]
    if len(matches) == 1:
        return str(matches[0])
    if strict:
        raise _unclear(spec, split, f"no column {name!r}", setting)
    return None


def _image_column(library: Any, split: Any, spec: str) -> str:
    features = split.features
    images: list[str] = [n for n, kind in features.items() if isinstance(kind, library.Image)]
    # Parquet files that another program wrote do not say that their bytes are images.
    images = images or [name for name, kind in features.items() if _holds_bytes(kind)]
    if len(images) != 1:
        have = f"more than one column of images: {', '.join(images)}"
        raise _unclear(spec, split, have if images else "no column of images", "data.image_column")
    return images[0]


def _holds_bytes(kind: Any) -> bool:
    if isinstance(kind, dict):
        return "bytes" in kind
    return getattr(kind, "dtype", None) in ("binary", "large_binary")


def _label_column(
    library: Any, split: Any, used: set[str | None], spec: str
) -> tuple[str, str | None]:
    """Return the column of labels, and a fact about the choice if there is one."""
    features = {name: kind for name, kind in split.features.items() if name not in used}
    classes = [name for name, kind in features.items() if isinstance(kind, library.ClassLabel)]
    if len(classes) == 1:
        return classes[0], None
    usual = _usual(classes or list(features))
    if len(usual) == 1:
        return usual[0], None
    rest = [name for name in features if not role_of(name)[0]]
    if not usual and not classes and len(rest) == 1:
        return rest[0], f"the column {rest[0]!r} is the label: no other is left for it"
    labels = usual or classes
    have = f"more than one column of labels: {', '.join(labels)}" if labels else None
    raise _unclear(spec, split, have or "no column of labels", "data.label_column")


def _usual(names: Sequence[str]) -> list[str]:
    """Return the columns whose names say most plainly that they are labels."""
    by_doubt: dict[int, list[str]] = {}
    for name in names:
        role, doubt = role_of(name)
        if role == "label":
            by_doubt.setdefault(doubt, []).append(name)
    return by_doubt[min(by_doubt)] if by_doubt else []


def _unclear(spec: str, split: Any, have: str, setting: str) -> UserError:
    return UserError(
        f"data source {spec!r} has {have}; its columns are {', '.join(split.features)}",
        f"choose one with --set {setting}=NAME",
    )


def require_columns(split: Any, columns: HubColumns, spec: str, part: str) -> None:
    """Raise UserError unless the table of a part has the columns."""
    for name in (columns.image, columns.label, columns.group):
        if name is not None and name not in split.features:
            raise UserError(
                f"data source {spec!r} has no column {name!r} in its {part} part; "
                f"its columns are {', '.join(split.features)}"
            )


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


def texts_of(library: Any, split: Any, column: str, spec: str, setting: str) -> list[str]:
    """Return the value of each row as text, empty where it has none.

    Raises UserError for a column of other values, which names the `setting` that chooses.
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
            f"choose one with --set {setting}=NAME",
        ) from None
