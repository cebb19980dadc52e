"""The bytes of a pack, before it is written."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trickbag.data.packing.encode import ImageWriter
    from trickbag.data.source import Part

__all__ = ["pack_bytes", "require_free_disk"]

_SAMPLED = 24
"""Images that are written to know how large the others will be."""

_ROW = 96
"""Bytes of a row beside its image and its name."""


def pack_bytes(parts: Mapping[str, Part], writer: ImageWriter) -> int:
    """Forecast the bytes of a pack, by the files' sizes or by some images of each part.

    Raises UserError as `ImageWriter.write`: some images of a form that cannot be packed are known
    before the first is.
    """
    total = 0
    for part in parts.values():
        total += sum(map(len, part.names)) + sum(map(len, part.groups)) + _ROW * len(part)
        places = np.unique(np.linspace(0, len(part) - 1, min(_SAMPLED, len(part))).astype(int))
        if writer.encoding == "original":
            total += int(part.sizes.clip(0).sum())
        else:
            written = [writer.write(part, i).data for i in places.tolist()]
            total += round(sum(len(data or b"") for data in written) / len(places) * len(part))
    return total


def require_free_disk(folder: Path, needed: int) -> None:
    """Raise UserError where a disk has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the pack will have about {needed / 1e9:,.1f} GB, and the disk of {folder} has "
            f"{free / 1e9:,.1f} GB free",
            "write it to another disk, or with a smaller --short-side",
        )
