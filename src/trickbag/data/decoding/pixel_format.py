"""How the stored values of an image become 8-bit channels: a value that a data set has once.

It is settled from the training images and stored with the weights, so that training, validation,
prediction and export read every image alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "RGB",
    "PixelFormat",
    "PixelKind",
    "PixelRange",
    "channels_text",
    "given_ranges",
    "kind_of",
]

PixelKind = Literal["uint8", "integer", "float"]
"""What has one range: 8-bit values, integers of any other type, and floats."""

PixelRange = tuple[PixelKind, float, float]
"""The values of a kind that become 0 and 255."""

_FULL: dict[str, tuple[float, float]] = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}
"""The range of a type that holds photos as a rule, where none is recorded for its kind."""


def kind_of(pixel_type: str) -> PixelKind:
    """Return the kind of a type of numpy's: `uint8`, `uint16`, `int32`, `float32`."""
    if pixel_type == "uint8":
        return "uint8"
    return "float" if pixel_type.startswith("float") else "integer"


@dataclass(frozen=True)
class PixelFormat:
    """Which stored values become 0 and 255, and which bands of a file are the channels.

    ranges: at most one a kind. channels: the numbers of bands from 0; None is RGB, for which grey
    is repeated, palette and CMYK are converted, and transparency is laid over white.
    """

    ranges: tuple[PixelRange, ...] = ()
    channels: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """The number of channels."""
        return 3 if self.channels is None else len(self.channels)

    def problem(self, bands: int, unused_bands: int) -> str | None:
        """Return why an image of so many bands does not have the channels; None if it has.

        `unused_bands` are those that are neither colour nor transparency.
        """
        if self.channels is None:
            if unused_bands > 1:
                return f"{bands} channels are not supported here: --set data.channels=0,1,2"
        elif max(self.channels) >= bands:
            named = ",".join(map(str, self.channels))
            return f"{channels_text(bands)}, too few for data.channels = {named}"
        return None

    def range_of(self, pixel_type: str) -> tuple[float, float] | None:
        """Return the lowest and the highest value of a type; None where they are not known.

        Without a range of its kind a type of 8 or 16 bits without sign has all of its values.
        """
        kind = kind_of(pixel_type)
        for ranged, low, high in self.ranges:
            if ranged == kind:
                return low, high
        return _FULL.get(pixel_type)


def channels_text(count: int) -> str:
    """Write a number of channels."""
    return f"{count} channel{'s' * (count != 1)}"


def given_ranges(low: float, high: float) -> tuple[PixelRange, ...]:
    """Return the ranges that a pair of numbers means: of all kinds but 8-bit values."""
    return ("integer", low, high), ("float", low, high)


RGB = PixelFormat()
"""The format of photos: RGB, all values of 8 or 16 bits."""
