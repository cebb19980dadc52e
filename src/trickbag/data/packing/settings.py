"""How the images of a pack are written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from trickbag.data.config import DataConfig
from trickbag.data.sources.arrow.header import Encoding, Quality, ShortSide
from trickbag.errors import UserError, shown
from trickbag.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.data.source import Part

__all__ = [
    "QUALITY",
    "PackSettings",
    "require_listing_settings",
    "settled_encoding",
]

QUALITY = 90
"""The default quality of JPEGs that are written."""

_LISTING = (
    *("source", "image_root", "val_source", "image_column", "label_column", "group_column"),
    *("multi_label", "label_separator", "merge_labels", "na_labels", "parts", "outside"),
    *("max_pixels", "max_bad_fraction"),
)
"""Settings of data that say which images a source has, and what they are called."""


@dataclass(frozen=True, kw_only=True)
class PackSettings(Settings):
    """How the images of a pack are written.

    - encoding: `original`: the bytes of the files. `jpeg`: JPEG of 8 bits, upright, without
      metadata. `raw`: uint8 pixels, upright. None: `jpeg` with a short side; else `original`, or
      `raw` for images that are in no files.
    - short_side: images with a longer one are scaled down to it, in pixels; none is enlarged.
    - quality: of JPEGs that are written, from 1 to 100; None is QUALITY.
    """

    encoding: Encoding | None = None
    short_side: ShortSide | None = None
    quality: Quality | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding == "original" and self.short_side is not None:
            raise UserError(
                f"--encoding original keeps images as they are, and --short-side {self.short_side} "
                "changes them",
                "leave one of them out",
            )
        is_jpeg = self.encoding == "jpeg" or (self.encoding is None and self.short_side)
        if self.quality is not None and not is_jpeg:
            raise UserError(
                f"--quality {self.quality} is that of JPEGs that are written",
                "add --encoding jpeg, or leave it out",
            )


def settled_encoding(settings: PackSettings, parts: Iterable[Part]) -> Encoding:
    """Return the encoding of a pack of these parts.

    Raises UserError for images that have no original files, where these are wanted.
    """
    from trickbag.data.source import EncodedPart
    from trickbag.data.sources.arrow.part import RawPackedPart

    are_files = all(
        isinstance(part, EncodedPart) and not isinstance(part, RawPackedPart) for part in parts
    )
    if settings.encoding == "original" and not are_files:
        raise UserError(
            "--encoding original keeps the bytes of image files, and these images are pixels in "
            "memory or in a pack",
            "take --encoding raw or jpeg",
        )
    if settings.encoding is not None:
        return settings.encoding
    if settings.short_side is not None:
        return "jpeg"
    return "original" if are_files else "raw"


def require_listing_settings(data: DataConfig) -> None:
    """Raise UserError for a setting that is of training, and that a pack would not have."""
    defaults: dict[str, Any] = {each.name: each.default for each in fields(data)}
    for name, default in defaults.items():
        value = getattr(data, name)
        if name not in _LISTING and value != default:
            raise UserError(
                f"data.{name} = {shown(value)} changes nothing in a pack, which holds the images "
                "of all parts as they are: it is a setting of training",
                "leave it out here, and give it to `trickbag train`",
            )
