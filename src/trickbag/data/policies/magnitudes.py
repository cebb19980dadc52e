"""The operations of image policies, and what a magnitude means for each of them.

A magnitude is a share, in [0, 1], of the range of an operation's argument.
"""

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
    "cutout",
]
"""The name of an operation; `trickbag.data.policies.operations` implements it."""

Interpolation = Literal["nearest", "bilinear"]
"""How values between pixels are computed when an image is rotated, sheared or translated."""

Ranges = Literal["standard", "wide", "assemble", "augmix", "increasing"]
"""Whose ranges are used.

standard: torchvision's AutoAugment and RandAugment. wide: torchvision's TrivialAugment. assemble:
the code of Assemble-ResNet. augmix: the code of AugMix. increasing: timm's RandAugment whose
operations all become stronger with the magnitude (`inc1`).
"""


@dataclass(frozen=True)
class Span:
    """The range of an operation's argument, from `start` to `end` as the magnitude rises.

    signed: the argument is negated for half of the images. centre: is added after that. of_side:
    the values are shares of the image's side, and the argument is in pixels. rounding: how the
    distance from `start` becomes an integer.
    """

    start: float = 0.0
    end: float = 0.0
    signed: bool = False
    centre: float = 0.0
    of_side: bool = False
    rounding: Literal["none", "nearest", "towards_zero"] = "none"

    def __call__(self, share: float, negative: bool, side: int) -> float:
        """Return the argument at `share`, in [0, 1], of the range."""
        distance = (self.end - self.start) * share * (side if self.of_side else 1)
        if self.rounding == "nearest":
            distance = round(distance)
        elif self.rounding == "towards_zero":
            # 150 / 331 * 331 * 22 / 30 = 109.99999999999999 is meant to be 110.
            distance = int(round(distance, 9))
        value = self.start + distance
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
    # The paper's range, 0 to 60 pixels at 331: the tables of the papers do not use it.
    spans["cutout"] = Span(0, 60 / 331, of_side=True, rounding="nearest")
    # Only the code of Assemble-ResNet has this operation.
    spans["solarize_add"] = Span(0, 110, rounding="towards_zero")
    return MappingProxyType(spans)


RANGES: Mapping[Ranges, Mapping[Operation, Span]] = MappingProxyType(
    {
        "standard": _ranges(
            shear=0.3,
            shift=Span(0, 150 / 331, signed=True, of_side=True, rounding="towards_zero"),
            angle=Span(0, 30, signed=True),
            enhance=Span(0, 0.9, signed=True, centre=1),
            posterize=Span(8, 4, rounding="nearest"),
            solarize=Span(255, 0),
        ),
        "wide": _ranges(
            shear=0.99,
            shift=Span(0, 32, signed=True, rounding="towards_zero"),
            angle=Span(0, 135, signed=True),
            enhance=Span(0, 0.99, signed=True, centre=1),
            posterize=Span(8, 2, rounding="nearest"),
            solarize=Span(255, 0),
        ),
        "assemble": _ranges(
            shear=0.3,
            shift=Span(0, 250, signed=True),
            angle=Span(0, 30, signed=True),
            enhance=Span(0.1, 1.9),
            posterize=Span(0, 4, rounding="towards_zero"),
            solarize=Span(0, 256, rounding="towards_zero"),
        ),
        "augmix": _ranges(
            shear=0.3,
            shift=Span(0, 1 / 3, signed=True, of_side=True, rounding="towards_zero"),
            angle=Span(0, 30, signed=True, rounding="towards_zero"),
            enhance=Span(0.1, 1.9),
            posterize=Span(4, 0, rounding="towards_zero"),
            solarize=Span(256, 0, rounding="towards_zero"),
        ),
        "increasing": _ranges(
            shear=0.3,
            shift=Span(0, 0.45, signed=True, of_side=True),
            angle=Span(0, 30, signed=True),
            enhance=Span(0, 0.9, signed=True, centre=1),
            posterize=Span(4, 0, rounding="towards_zero"),
            solarize=Span(256, 0, rounding="towards_zero"),
        ),
    }
)
"""The range of each operation's argument.

Units: shear is a slope, translation pixels, rotation degrees (counterclockwise), brightness, color,
contrast and sharpness a factor (1: no change), posterize the number of bits that are kept, solarize
the first level that is inverted, solarize_add levels, cutout pixels.
"""

LEVELS: Mapping[Ranges, int] = MappingProxyType(
    {"standard": 9, "wide": 9, "assemble": 10, "augmix": 10, "increasing": 10}
)
"""The magnitude, in a policy's table, that means the full range."""


def argument(
    operation: Operation, ranges: Ranges, share: float, negative: bool, size: tuple[int, int]
) -> float:
    """Return an operation's argument at `share`, in [0, 1], of its range.

    `size` is the image's (width, height) in pixels.
    """
    width, height = size
    side = height if operation == "translate_y" else width
    return RANGES[ranges][operation](share, negative, side)
