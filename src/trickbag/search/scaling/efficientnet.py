"""EfficientNets by the formula of compound scaling, beside those that were released.

They are counted from the paper's table of stages, without building them.

Source: Tan & Le 2019 (arXiv 1905.11946), table 1, section 3.3, and its code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.size import Size, height_width
from trickbag.data.size import scaled as scaled_size
from trickbag.models.rounding import round_channels, round_repeats
from trickbag.models.scaling import Factors, compound
from trickbag.search.scaling.member import Member

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RELEASED", "Count", "count_efficientnet", "published_family"]

_BASE_SIZE = 224

RELEASED: Mapping[str, tuple[float, float, int]] = MappingProxyType(
    {
        "efficientnet_b0": (1.0, 1.0, 224),
        "efficientnet_b1": (1.0, 1.1, 240),
        "efficientnet_b2": (1.1, 1.2, 260),
        "efficientnet_b3": (1.2, 1.4, 300),
        "efficientnet_b4": (1.4, 1.8, 380),
        "efficientnet_b5": (1.6, 2.2, 456),
        "efficientnet_b6": (1.8, 2.6, 528),
        "efficientnet_b7": (2.0, 3.1, 600),
    }
)
"""The factors of width and depth, and the image size in pixels, of the released networks."""

_CLASSES = 1000
_STEM, _HEAD = 32, 1280


class _Stage(NamedTuple):
    """A stage of the paper's table 1: its blocks are MBConv."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


_STAGES = (
    _Stage(1, 3, 1, 16, 1),
    _Stage(6, 3, 2, 24, 2),
    _Stage(6, 5, 2, 40, 2),
    _Stage(6, 3, 2, 80, 3),
    _Stage(6, 5, 1, 112, 3),
    _Stage(6, 5, 2, 192, 4),
    _Stage(6, 3, 1, 320, 1),
)


@dataclass(frozen=True)
class Count:
    """Numbers of parameters, and of multiply-adds of an image."""

    params: int
    macs: int

    def __add__(self, other: Count) -> Count:
        """Return the numbers of two parts of a network together."""
        return Count(self.params + other.params, self.macs + other.macs)


def count_efficientnet(factors: Factors, image_size: Size) -> Count:
    """Count an EfficientNet-B0 whose depth and width are multiplied, with its 1,000 classes.

    `image_size` is a side or height and width in pixels; `factors.size` is not read. Multiply-adds
    are those of convolutions and of the classifier, as in `models.counting`.
    """
    height, width = map(_halved, height_width(image_size))
    channels = round_channels(_STEM, factors.width)
    total = _conv(3, channels, kernel=3, pixels=height * width)
    for stage in _STAGES:
        out = round_channels(stage.channels, factors.width)
        for i in range(round_repeats(stage.blocks, factors.depth)):
            before = height * width
            if i == 0 and stage.stride == 2:
                height, width = _halved(height), _halved(width)
            total += _block(stage, channels, out, before=before, after=height * width)
            channels = out
    features = round_channels(_HEAD, factors.width)
    total += _conv(channels, features, pixels=height * width)
    return total + Count((features + 1) * _CLASSES, features * _CLASSES)


def published_family() -> list[tuple[Member, str, Member]]:
    """Return the networks of the formula for phi = 0 to 7, each with the name and the released one.

    The constants are those of the paper, 1.2, 1.1 and 1.15. The released networks have factors and
    sizes that were chosen by hand near to those of the formula.
    """
    rows = []
    for phi, (name, (width, depth, size)) in enumerate(RELEASED.items()):
        formula = compound(phi)
        released = Factors(depth=depth, width=width, size=size / _BASE_SIZE)
        by_formula = _member(phi, formula, scaled_size(_BASE_SIZE, formula.size))
        rows.append((by_formula, name, _member(phi, released, size)))
    return rows


def _member(phi: int, factors: Factors, image_size: Size) -> Member:
    count = count_efficientnet(factors, image_size)
    return Member(
        phi=phi, factors=factors, image_size=image_size, params=count.params, macs=count.macs
    )


def _block(stage: _Stage, channels: int, out: int, *, before: int, after: int) -> Count:
    """Count an MBConv block, with `before` and `after` pixels of its maps."""
    middle = channels * stage.expansion
    squeezed = channels // 4
    total = Count(0, 0)
    if stage.expansion > 1:
        total += _conv(channels, middle, pixels=before)
    total += _conv(middle, middle, kernel=stage.kernel, groups=middle, pixels=after)
    # Squeeze and excitation: two 1x1 convolutions with biases, of one pixel.
    total += Count(2 * middle * squeezed + squeezed + middle, 2 * middle * squeezed)
    return total + _conv(middle, out, pixels=after)


def _conv(channels: int, out: int, *, pixels: int, kernel: int = 1, groups: int = 1) -> Count:
    """Count a convolution with its batch normalisation, of `pixels` pixels of its result."""
    weights = channels // groups * out * kernel**2
    return Count(weights + 2 * out, weights * pixels)


def _halved(side: int) -> int:
    """Return a side after a stride of 2, with the padding that keeps all pixels."""
    return math.ceil(side / 2)
