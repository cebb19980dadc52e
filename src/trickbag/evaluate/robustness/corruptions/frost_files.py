"""The files of the published pictures of frost. Importing this module imports no torch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.paths import FileKind, is_file, is_folder, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FROST_CHECKSUMS", "FROST_NAMES", "FROST_PACKAGE", "frost_files", "published"]

_PICTURE = FileKind("a picture of frost", 2**28)

FROST_CHECKSUMS = {
    "frost1.png": "ff9f907860bd7a835d459e32f9d588062b7f61ee267343cc7222b56753a14755",
    "frost2.png": "fe211a89b336999c207a852ce05818d4545d0b57c5beadd824b4cc9d9a9b6137",
    "frost3.png": "2d0d50b4a9bb213f38b024ef7768731bb83cc08d2f26b5766bbc167cdfa0e504",
    "frost4.jpg": "3f8b91ca1a9fa7167b09e773da53f5ae60d0a1fd88f02a783f6e328a72887f6e",
    "frost5.jpg": "5fc6a19df4a429ba68abdcc8f8a4278d4c9f81c9ccafd2c92ab0c8cf8992ebd2",
}
"""SHA-256 of the files in imagecorruptions 1.1.2."""

FROST_NAMES = tuple(FROST_CHECKSUMS)
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


def published(path: Path) -> bool:
    """Say whether a file is the published picture of its name, byte for byte."""
    data = read_bytes(path, _PICTURE)
    return data is not None and hashlib.sha256(data).hexdigest() == FROST_CHECKSUMS.get(path.name)
