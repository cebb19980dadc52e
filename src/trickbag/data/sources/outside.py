"""Images that a name or a link leads to, outside of the folder of a source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OUTSIDE", "is_beyond"]

OUTSIDE = "lies outside of the folder of the images (data.outside = refuse)"
"""Why such an image is left out."""


def is_beyond(path: Path, root: Path) -> bool:
    """Return whether a path lies outside of a folder, links resolved."""
    folder, place = os.path.realpath(root), os.path.realpath(path)
    return place != folder and not place.startswith(folder.rstrip(os.sep) + os.sep)
