"""The operations of image policies, and what a magnitude means for each: a share of a range becomes
an argument."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LEVELS", "RANGES", "Interpolation", "Operation", "Ranges", "Span", "argument"]

Operation = Literal[
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "solarize_add",
    "auto_contrast",
    "equalize",
    "invert",
]
"""What can be done to an image; `trickbag.data.policies.operations` does it."""

Interpolation = Literal["nearest", "bilinear"]
"""How a point between pixels is had when an image is turned, sheared or shifted."""

Ranges = Literal["standard", "wide", "assemble", "augmix"]
"""Whose magnitudes: those of torchvision's AutoAugment and RandAugment (`standard`) or
TrivialAugment (`wide`), of the Assemble-ResNet code, of the AugMix code."""


@dataclass(frozen=True)
class Span:
    """The range of an operation's argument: from `start` to `end` as the magnitude rises.

    A `signed` one is negated for half of the images; `centre` is added after that. With `of_side`
    the values are shares of the image's side, in pixels. `whole` makes the way from `start` a whole
    number: rounded, or cut off.
    """

    start: float = 0.0
    end: float = 0.0
    signed: bool = False
    centre: float = 0.0
    of_side: bool = False
    whole: Literal["no", "rounded", "cut"] = "no"

    def __call__(self, share: float, negative: bool, side: int) -> float:
        """Return the argument at `share`, in [0, 1], of the range."""
        way = (self.end - self.start) * share * (side if self.of_side else 1)
        if self.whole != "no":
            # A quotient such as 150 / 331 * 331 * 22 / 30 = 109.99999999999999 is meant to be
            # whole.
            way = round(way) if self.whole == "rounded" else int(round(way, 9))
        value = self.start + way
        return self.centre + (-value if self.signed and negative else value)


_PLAIN: tuple[Operation, ...] = ("identity", "auto_contrast", "equalize", "invert")
_ENHANCE: tuple[Operation, ...] = ("brightness", "color", "contrast", "sharpness")


def _ranges(
    *, shear: float, shift: Span, angle: Span, enhance: Span, posterize: Span, solarize: Span
) -> Mapping[Operation, Span]:
    spans: dict[Operation, Span] = {name: Span() for name in _PLAIN}
    spans |= dict.fromkeys(_ENHANCE, enhance)
    spans |= {"shear_x": Span(0, shear, signed=True), "shear_y": Span(0, shear, signed=True)}
    spans |= {
        "translate_x": shift,
        "translate_y": shift,
        "rotate": angle,
        "posterize": posterize,
        "solarize": solarize,
    }
    # Assemble's: no other code has it.
    spans["solarize_add"] = Span(0, 110, whole="cut")
    return MappingProxyType(spans)


RANGES: Mapping[Ranges, Mapping[Operation, Span]] = MappingProxyType(
    {
        "standard": _ranges(
            shear=0.3,
            shift=Span(0, 150 / 331, signed=True, of_side=True, whole="cut"),
            angle=Span(0, 30, signed=True),
            enhance=Span(0, 0.9, signed=True, centre=1),
            posterize=Span(8, 4, whole="rounded"),
            solarize=Span(255, 0),
        ),
        "wide": _ranges(
            shear=0.99,
            shift=Span(0, 32, signed=True, whole="cut"),
            angle=Span(0, 135, signed=True),
            enhance=Span(0, 0.99, signed=True, centre=1),
            posterize=Span(8, 2, whole="rounded"),
            solarize=Span(255, 0),
        ),
        "assemble": _ranges(
            shear=0.3,
            shift=Span(0, 250, signed=True),
            angle=Span(0, 30, signed=True),
            enhance=Span(0.1, 1.9),
            posterize=Span(0, 4, whole="cut"),
            solarize=Span(0, 256, whole="cut"),
        ),
        "augmix": _ranges(
            shear=0.3,
            shift=Span(0, 1 / 3, signed=True, of_side=True, whole="cut"),
            angle=Span(0, 30, signed=True, whole="cut"),
            enhance=Span(0.1, 1.9),
            posterize=Span(4, 0, whole="cut"),
            solarize=Span(256, 0, whole="cut"),
        ),
    }
)
"""The argument of each operation: shear as a slope, translation in pixels, rotation in degrees
(counterclockwise), enhancements as a factor (1: no change), posterize in bits that are kept,
solarize as the first level that is inverted, solarize_add in levels."""

LEVELS: Mapping[Ranges, int] = MappingProxyType(
    {"standard": 9, "wide": 9, "assemble": 10, "augmix": 10}
)
"""The highest magnitude of a policy's table: that of the full range."""


def argument(
    operation: Operation, ranges: Ranges, share: float, negative: bool, size: tuple[int, int]
) -> float:
    """Return an operation's argument at `share`, in [0, 1], of its range, for an image of `size`
    (width, height)."""
    side = size[operation == "translate_y"]
    return RANGES[ranges][operation](share, negative, side)
