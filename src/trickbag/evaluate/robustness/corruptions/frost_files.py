"""The files of the published pictures of frost. Importing this module imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.paths import is_file, is_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FROST_NAMES", "FROST_PACKAGE", "frost_files"]

FROST_NAMES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""The published files. There is a frost6.jpg too, which the scripts never draw."""

FROST_PACKAGE = "imagecorruptions"
"""The package on PyPI that has them, in its folder `frost`."""


def frost_files(folder: Path) -> list[Path]:
    """Return the pictures of frost in a folder; UserError if one of them is not there."""
    way_out = f"take the folder `frost` of the package {FROST_PACKAGE}"
    if not is_folder(folder):
        raise UserError(f"the folder of frost {folder} is no folder", way_out)
    missing = [name for name in FROST_NAMES if not is_file(folder / name)]
    if missing:
        raise UserError(f"the folder of frost {folder} has no {', '.join(missing)}", way_out)
    return [folder / name for name in FROST_NAMES]
