"""Pictures of one image with each corruption: a PNG for each, its severities side by side.

Shapes: H and W pixels, C channels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import UserError
from trickbag.evaluate.record import evaluation_file
from trickbag.files import replacing
from trickbag.paths import FileKind, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.evaluate.robustness.folder import Cell

__all__ = ["CorruptionPictures", "read_pictures"]

_LARGEST_SIDE = 128
_PICTURE = FileKind("a picture", 2**24)


class CorruptionPictures:
    """Takes the pictures of an evaluation, for `picture_of`, and writes them."""

    def __init__(self) -> None:
        self._rows: dict[str, list[NDArray[np.uint8]]] = {}

    def __call__(self, cell: Cell, pixels_HWC: NDArray[np.uint8]) -> None:
        """Keep a picture, scaled down to 128 pixels; that of severity 0 is not corrupted."""
        from PIL import Image

        if not cell.severity:
            return
        picture = Image.fromarray(pixels_HWC)
        picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
        self._rows.setdefault(cell.corruption, []).append(np.asarray(picture))

    def write(self, run: Path) -> list[Path]:
        """Write `evaluations/robustness-NAME.png` of each corruption; older ones are removed.

        Raises RunFailed if they cannot be written.
        """
        from PIL import Image

        written = []
        folder = evaluation_file(run, "robustness").parent
        for name, pictures in self._rows.items():
            path = _path(run, name)
            with replacing(path) as file:
                Image.fromarray(np.concatenate(pictures, axis=1)).save(file, format="PNG")
            written.append(path)
        for path in folder.glob("robustness-*.png"):
            if path not in written:
                path.unlink(missing_ok=True)
        return written


def _path(run: Path, name: str) -> Path:
    return evaluation_file(run, "robustness").with_name(f"robustness-{name}.png")


def read_pictures(run: Path, name: str, count: int) -> list[NDArray[np.uint8]]:
    """Return the `count` pictures (H, W, 3) of a corruption; none where they cannot be read."""
    # Late: pages without pictures do not need it.
    from PIL import Image

    try:
        data = read_bytes(_path(run, name), _PICTURE)
        if data is None or not count:
            return []
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (UserError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # A page without a picture is better than none.
        return []
    if pixels.shape[1] % count:
        return []
    return np.split(pixels, count, axis=1)
