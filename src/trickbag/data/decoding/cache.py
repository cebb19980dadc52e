"""A cache of decode results, so that a file that has not changed is checked once only."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.decoding.limits import MAX_PIXELS
from trickbag.data.decoding.stamped_cache import StampedCache, decoder_versions, folder_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CheckCache", "DecodeResult", "cache_folder"]

_SCHEMA = 4
"""Version of the file; those of version 1 have no checksum, those of version 2 no digests.

Those of version 3 have no values that were stored.
"""


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """What the strict decode of a file gave: what the image is, or the reason why it failed.

    reason: None for a good image. width, height: pixels of the upright image. digest: the BLAKE2b
    hash of the file's bytes, 16 hexadecimal digits; empty for a file that was not read. frames: the
    pages or frames of the file. pixel_type: the type of the stored values, such as `uint16`. bands:
    the values of a pixel; unused_bands: those that are neither colour nor transparency. low, high:
    the smallest and the largest stored value; inner_low, inner_high: those without the lowest and
    the highest thousandth; of uint8 they are not computed. perceptual: a hash of what the image
    looks like; empty where it has none.
    """

    reason: str | None
    format: str
    width: int
    height: int
    _: KW_ONLY
    digest: str = ""
    frames: int = 1
    pixel_type: str = "uint8"
    bands: int = 3
    unused_bands: int = 0
    low: float = 0.0
    high: float = 255.0
    inner_low: float = 0.0
    inner_high: float = 255.0
    perceptual: str = ""

    @classmethod
    def from_plain(cls, values: Sequence[object]) -> DecodeResult:
        """Read what `to_plain` returned; TypeError for anything else."""
        if len(values) != len(_TYPES) or not all(map(isinstance, values, _TYPES.values())):
            raise TypeError("not an entry of the check's cache")
        fields: dict[str, Any] = dict(zip(_TYPES, values, strict=True))
        return cls(**fields)

    def to_plain(self) -> list[str | int | float | None]:
        """Return the values of all fields, in their order."""
        return [getattr(self, name) for name in _TYPES]


_TYPES: dict[str, Any] = {
    "reason": str | None,
    "format": str,
    "width": int,
    "height": int,
    "digest": str,
    "frames": int,
    "pixel_type": str,
    "bands": int,
    "unused_bands": int,
    "low": float,
    "high": float,
    "inner_low": float,
    "inner_high": float,
    "perceptual": str,
}
"""The fields of a `DecodeResult` in the order in which the cache stores them."""


def cache_folder() -> Path:
    """Return the user's cache folder for trickbag: under XDG_CACHE_HOME, else in ~/.cache.

    It may not exist yet.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "trickbag"


class CheckCache(StampedCache[DecodeResult]):
    """Decode results by (absolute path, size, modification time), one JSON file per source folder.

    What was written with other versions of the decoders or another limit of pixels counts as empty.
    """

    def __init__(self, folder: Path, root: str, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__(
            folder / "checks" / f"{folder_digest(root)}.json",
            _version(max_pixels),
            DecodeResult.from_plain,
            DecodeResult.to_plain,
        )


def _version(max_pixels: int) -> str:
    # An extra can be installed later.
    decoders = decoder_versions("simplejpeg", "pillow", "pillow-heif")
    return f"{_SCHEMA}, {decoders}, {max_pixels} pixels"
