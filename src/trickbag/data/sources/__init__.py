"""The kinds of sources, and how the SOURCE of a command line names one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.class_names import with_one_spelling
from trickbag.data.passed_over import accounting
from trickbag.data.source import EncodedPart
from trickbag.data.sources.table.sheet import SUFFIXES
from trickbag.data.sources.val_source import with_val_part
from trickbag.data.trainable import require_trainable
from trickbag.errors import Note, UserError
from trickbag.paths import expanded

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.data.source import Source

__all__ = ["can_be_multi_label", "is_folder_source", "is_pack", "is_table", "open_source"]

KINDS = (
    "digits, a folder of images, a .csv file, an .arrow pack, torchvision:NAME, hf:NAME, or wds:URL"
)

_COLUMNS = ("image_column", "label_column", "group_column")
"""Settings that name columns, which not all kinds of sources have."""


@dataclass(frozen=True, kw_only=True)
class _Opening:
    """How a source is listed: see `open_source`.

    strict: whether each column that a setting names must exist, and each class have an image.
    """

    strict: bool
    cache_dir: Path | None
    fresh: bool


def is_table(spec: str) -> bool:
    """Return whether a source is a table."""
    return spec.strip().lower().endswith(SUFFIXES)


def is_pack(spec: str) -> bool:
    """Return whether a source, or a file to write, has the name of a pack."""
    return spec.strip().lower().endswith(".arrow")


def can_be_multi_label(spec: str) -> bool:
    """Return whether images of a source can have several labels: of a table, or of its pack."""
    return is_table(spec) or is_pack(spec)


def is_folder_source(spec: str) -> bool:
    """Return whether a source is a folder that exists: the only kind that has `data.parts`."""
    try:
        return spec != "digits" and bool(spec.strip()) and expanded(spec).is_dir()
    except (OSError, ValueError):
        # A name that is too long, or that holds a zero byte: what opens it says so.
        return False


def open_source(
    data: DataConfig,
    *,
    for_training: bool = True,
    strict: bool | None = None,
    cache_dir: Path | None = None,
    fresh: bool = False,
) -> Source:
    """List the images of `data.source`: `digits`, a folder, a table, a pack, or `KIND:NAME`.

    With `data.val_source` the validation part is that of another source. Unless it is `strict`, by
    default where the images are `for_training`, columns that settings name may be missing in a
    table, and class folders may be empty. Nothing is decoded. A large folder that was listed before
    is listed again only where it has changed, unless it is to be `fresh`; `cache_dir` is where the
    listing is kept, by default the user's cache folder. A note counts what lies in the source and
    is not taken.

    Raises UserError for a source that does not exist, cannot be read or has no images, and if it is
    `for_training` as `require_trainable`.
    """
    opening = _Opening(
        strict=for_training if strict is None else strict, cache_dir=cache_dir, fresh=fresh
    )
    source = with_one_spelling(_open(data, opening), merge=data.merge_labels)
    if data.val_source is not None:
        source = with_val_part(source, _open_val(data, opening), fold=data.merge_labels)
    if for_training:
        require_trainable(source)
    parts = {
        name: replace(part, max_pixels=data.max_pixels) if isinstance(part, EncodedPart) else part
        for name, part in source.parts.items()
    }
    return _accounted(replace(source, parts=parts))


def _accounted(source: Source) -> Source:
    """Add a note that counts the files that are taken and passed over, unless all are taken."""
    if not source.passed_over:
        return source
    taken = sum(len(part) for part in source.parts.values())
    fact = f"{source.spec}: {accounting(taken, source.passed_over)}"
    return replace(source, notes=(*source.notes, Note("data", None, fact)))


def _open_val(data: DataConfig, opening: _Opening) -> Source:
    """List the source of the validation part."""
    assert data.val_source is not None
    settings: dict[str, Any] = {"source": data.val_source, "val_source": None, "parts": None}
    if not data.val_source.startswith("wds:"):
        settings["streaming"] = False
    settings |= dict.fromkeys(set(_COLUMNS) - set(_columns_of(data.val_source)))
    if not (is_table(data.val_source) and is_table(data.source)):
        # A folder has no root of its own, and that of a torchvision data set holds nothing else.
        settings["image_root"] = None
    opening = replace(opening, strict=False)
    try:
        source = _open(replace(data, **settings), opening)
    except UserError as error:
        raise UserError(f"data.val_source: {error.reason}", error.way_out) from None
    return with_one_spelling(source, merge=data.merge_labels)


def _open(data: DataConfig, opening: _Opening) -> Source:
    spec = data.source
    if data.multi_label and not can_be_multi_label(spec):
        raise UserError(
            "data.multi_label = true is for a .csv file or another table, or a pack of one; "
            f"data source {spec!r} has one label an image: leave it out"
        )
    if data.parts is not None and not is_folder_source(spec):
        raise UserError(
            f"data.parts = {','.join(data.parts)} names folders of a folder tree; "
            f"data source {spec!r} is none: leave it out"
        )
    unused = [name for name in _COLUMNS if getattr(data, name) and name not in _columns_of(spec)]
    # A pack was written with some, and says so itself.
    if unused and not is_pack(spec):
        raise UserError(
            f"data.{unused[0]} is for a .csv file or another table, hf:NAME and wds:URL; "
            f"data source {spec!r} has no columns",
            "leave it out",
        )
    if data.streaming and not spec.startswith("wds:"):
        raise UserError(
            f"data.streaming = True is for shards (wds:URL); data source {spec!r} has none",
            "leave it out",
        )
    if spec == "digits":
        from trickbag.data.sources.digits import open_digits

        return open_digits()
    roots = [expanded(root) for root in data.image_roots]
    if len(roots) > 1 and not is_table(spec):
        raise UserError(
            f"data.image_root has {len(roots)} folders, and data source {spec!r} takes one",
            "more than one is for a .csv file or another table",
        )
    root = next(iter(roots), None)
    # At least two characters: `C:` is a drive of Windows, not a kind of source.
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", spec)
    if scheme:
        return _open_named(data, scheme[1], root, opening)
    return _open_path(data, roots, opening)


def _columns_of(spec: str) -> tuple[str, ...]:
    """Return the settings that name columns of a source of this kind."""
    return _COLUMNS if is_table(spec) or spec.startswith(("hf:", "wds:")) else ()


def _open_named(data: DataConfig, kind: str, root: Path | None, opening: _Opening) -> Source:
    """Open a source that begins with the name of its kind, and a colon."""
    spec = data.source
    name = spec.partition(":")[2]
    if kind == "torchvision":
        from trickbag.data.sources.torchvision import open_torchvision

        return open_torchvision(name, root)
    if kind not in ("hf", "wds"):
        raise UserError(
            f"data source {spec!r}: no kind of source is named {kind!r}", f"a source is {KINDS}"
        )
    if root is not None:
        raise UserError(
            "data.image_root is for a .csv file or torchvision:NAME; "
            f"data source {spec!r} holds its images"
        )
    label = data.label_column
    if isinstance(label, tuple):
        raise UserError(
            f"data.label_column has {len(label)} names, and data source {spec!r} takes one",
            "a column for each class is for a .csv file or another table",
        )
    if kind == "wds":
        from trickbag.data.sources.webdataset.source import open_webdataset

        return open_webdataset(
            name,
            spec,
            image_column=data.image_column,
            label_column=label,
            group_column=data.group_column,
            na_labels=data.na_labels,
            strict=opening.strict,
            cache_dir=opening.cache_dir,
            streamed=data.streaming,
        )
    from trickbag.data.sources.huggingface.source import open_huggingface

    return open_huggingface(
        name,
        spec,
        image_column=data.image_column,
        label_column=label,
        group_column=data.group_column,
        na_labels=data.na_labels,
        outside=data.outside,
        strict=opening.strict,
    )


def _open_path(data: DataConfig, roots: list[Path], opening: _Opening) -> Source:
    spec = data.source
    way_out = f"a source is {KINDS}"
    if not spec.strip():
        raise UserError(f"data source {spec!r} is empty", way_out)
    path = expanded(spec)
    try:
        is_file, is_folder, there = path.is_file(), path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        # A name that is too long, or that holds a zero byte.
        raise UserError(f"data source {spec!r} cannot be read: {error}", way_out) from None
    if is_folder:
        if roots:
            raise UserError(
                "data.image_root is for a .csv file or torchvision:NAME; "
                f"data source {spec!r} is a folder"
            )
        from trickbag.data.sources.folder.source import open_folder

        return open_folder(
            path,
            spec,
            outside=data.outside,
            parts=data.parts,
            cache_dir=opening.cache_dir,
            fresh=opening.fresh,
            strict=opening.strict,
        )
    if is_file and is_table(path.name):
        from trickbag.data.sources.table.source import open_table

        return open_table(path, data, roots, strict=opening.strict)
    if is_file and is_pack(path.name):
        if roots:
            raise UserError(
                "data.image_root is for a .csv file or torchvision:NAME; "
                f"data source {spec!r} is a pack, which holds its images"
            )
        from trickbag.data.sources.arrow.source import open_pack

        return open_pack(path, data, strict=opening.strict)
    tables = " or ".join(SUFFIXES[1:])
    problem = f"is a file, but no .csv file (nor {tables})" if there else "does not exist"
    if there and can_be_multi_label(path.name):
        problem = "is not a regular file"
    raise UserError(f"data source {spec!r} {problem}", way_out)
