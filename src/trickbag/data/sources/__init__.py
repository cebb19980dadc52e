"""The kinds of sources, and how the SOURCE of a command line names one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.data.class_names import with_one_spelling
from trickbag.data.source import EncodedPart
from trickbag.data.trainable import require_trainable
from trickbag.errors import UserError
from trickbag.paths import expanded

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.data.source import Source

__all__ = ["is_table", "open_source"]

KINDS = "digits, a folder of images, a .csv file, torchvision:NAME, hf:NAME, or wds:URL"


def is_table(spec: str) -> bool:
    """Return whether a source is a CSV file: the only kind whose images can have several labels."""
    return spec.strip().lower().endswith(".csv")


def open_source(data: DataConfig, *, for_training: bool = True) -> Source:
    """List the images of `data.source`: `digits`, a folder, a CSV file, or `KIND:NAME`.

    Nothing is decoded. Raises UserError for a source that does not exist, cannot be read or has no
    images, and if it is `for_training` as `require_trainable`.
    """
    source = with_one_spelling(_open(data), merge=data.merge_labels)
    if for_training:
        require_trainable(source)
    parts = {
        name: replace(part, max_pixels=data.max_pixels) if isinstance(part, EncodedPart) else part
        for name, part in source.parts.items()
    }
    return replace(source, parts=parts)


def _open(data: DataConfig) -> Source:
    spec = data.source
    if data.multi_label and not is_table(spec):
        raise UserError(
            "data.multi_label = true is for a .csv file, whose labels it divides at blanks; "
            f"data source {spec!r} has one label an image: leave it out"
        )
    if spec == "digits":
        from trickbag.data.sources.digits import open_digits

        return open_digits()
    root = None if data.image_root is None else expanded(data.image_root)
    # At least two characters: `C:` is a drive of Windows, not a kind of source.
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", spec)
    if scheme:
        return _open_named(data, scheme[1], root)
    return _open_path(data, root)


def _open_named(data: DataConfig, kind: str, root: Path | None) -> Source:
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
    if kind == "wds":
        from trickbag.data.sources.webdataset.source import open_webdataset

        return open_webdataset(name, spec)
    from trickbag.data.sources.huggingface.source import open_huggingface

    return open_huggingface(name, spec, outside=data.outside)


def _open_path(data: DataConfig, image_root: Path | None) -> Source:
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
        if image_root is not None:
            raise UserError(
                "data.image_root is for a .csv file or torchvision:NAME; "
                f"data source {spec!r} is a folder"
            )
        from trickbag.data.sources.folder import open_folder

        return open_folder(path, spec, outside=data.outside)
    if is_file and path.suffix.lower() == ".csv":
        from trickbag.data.sources.table.source import open_csv

        return open_csv(path, spec, image_root, multi_label=data.multi_label, outside=data.outside)
    problem = "is a file, but no .csv file" if there else "does not exist"
    if there and path.suffix.lower() == ".csv":
        problem = "is not a regular file"
    raise UserError(f"data source {spec!r} {problem}", way_out)
