"""Frames of one image of each sequence: a PNG for each perturbation, its frames side by side.

Shapes: H and W pixels, C channels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trickbag.errors import UserError
from trickbag.evaluate.record import evaluation_file
from trickbag.files import replacing
from trickbag.paths import FileKind, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SHOWN", "FrameStrips", "read_strip"]

SHOWN = 6
"""Frames of a sequence that are shown, from the first to the last."""

_LARGEST_SIDE = 128
_PICTURE = FileKind("a picture", 2**24)


class FrameStrips:
    """Takes the frames of an evaluation, for `frame_of`, and writes them."""

    def __init__(self) -> None:
        self._strips: dict[str, list[NDArray[np.uint8]]] = {}

    def __call__(self, name: str, frame: int, pixels_HWC: NDArray[np.uint8]) -> None:
        """Keep a frame, scaled down to 128 pixels: its first three channels, or its first."""
        pixels = pixels_HWC[..., :3] if pixels_HWC.shape[2] >= 3 else pixels_HWC[..., 0]
        picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
        picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
        self._strips.setdefault(name, []).append(np.asarray(picture))

    def write(self, run: Path) -> list[Path]:
        """Write `evaluations/perturbations-NAME.png` of each sequence; older ones are removed.

        Raises RunFailed if they cannot be written.
        """
        written = []
        for name, pictures in self._strips.items():
            shown = np.linspace(0, len(pictures) - 1, SHOWN).round().astype(int)
            path = _path(run, name)
            with replacing(path) as file:
                strip = np.concatenate([pictures[i] for i in shown], axis=1)
                Image.fromarray(strip).save(file, format="PNG")
            written.append(path)
        for path in evaluation_file(run, "perturbations").parent.glob("perturbations-*.png"):
            if path not in written:
                path.unlink(missing_ok=True)
        return written


def _path(run: Path, name: str) -> Path:
    return evaluation_file(run, "perturbations").with_name(f"perturbations-{name}.png")


def read_strip(run: Path, name: str) -> list[NDArray[np.uint8]]:
    """Return the SHOWN frames (H, W, 3) of a perturbation; none where they cannot be read."""
    try:
        data = read_bytes(_path(run, name), _PICTURE)
        if data is None:
            return []
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (UserError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # A page without a picture is better than none.
        return []
    return [] if pixels.shape[1] % SHOWN else np.split(pixels, SHOWN, axis=1)
