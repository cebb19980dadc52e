"""Compound scaling: a network's depth, its width and the images' size, grown together.

Source: Tan & Le 2019 (arXiv 1905.11946), section 3.3, equation 3; the rounding rules are those of
its code, which hold for MobileNet's width too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from trickbag.errors import UserError

if TYPE_CHECKING:
    from trickbag.models.config import OwnConfig

    Own = TypeVar("Own", bound=OwnConfig)

__all__ = ["Factors", "compound", "fit_width", "round_channels", "round_repeats", "scaled"]

DIVISOR = 8
KEPT = 0.9
"""The share of the channels that rounding must leave."""

_DIGITS = 9
_WIDEST = 64.0
_STEP = 1e-3
"""Of a width, relative: less than that by which the widest stage can grow, 8 of 512 channels."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """By what a network's depth and width and the side of its images are multiplied."""

    depth: float
    width: float
    size: float


def compound(phi: float, *, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> Factors:
    """Return alpha^phi, beta^phi and gamma^phi: about 2^phi times the work where alpha beta^2 gamma^2 is about 2.

    The constants are those that the paper found for its own network. A negative `phi` gives a
    smaller network.
    """
    return Factors(depth=alpha**phi, width=beta**phi, size=gamma**phi)


def round_channels(channels: int, factor: float) -> int:
    """Return `channels * factor`, rounded to the nearest multiple of 8 that is at least 8 and 90 %
    of it."""
    wanted = round(channels * factor, _DIGITS)
    rounded = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < KEPT * wanted else rounded


def round_repeats(blocks: int, factor: float) -> int:
    """Return `blocks * factor`, rounded up."""
    # 25 * 2.2 is more than 55 in floating point, and would be 56 blocks.
    return math.ceil(round(blocks * factor, _DIGITS))


def scaled(config: Own, factors: Factors) -> Own:
    """Return the config of a network of our own with its depth and width multiplied; images are not
    its business."""
    return dataclasses.replace(
        config,
        depth_factor=config.depth_factor * factors.depth,
        width_factor=config.width_factor * factors.width,
    )


def fit_width(config: Own, *, macs: float, image_size: int) -> Own:
    """Return the config with the width whose multiply-adds come nearest to `macs`, at images of `image_size` pixels.

    Widths move in steps of 8 channels, so that the work of a thin network can be a few percent off.
    A config without a number of classes is counted with 1,000. Raises UserError where no width is
    so small or so large.
    """
    import torch

    from trickbag.models.counting import count_macs
    from trickbag.models.zoo import raw_network

    @functools.cache
    def work(width: float) -> int:
        classes = config.num_classes or 1000
        with torch.device("meta"):
            network = raw_network(
                dataclasses.replace(config, width_factor=width, num_classes=classes)
            )
        return count_macs(network, image_size, config.in_channels)

    low, high = 1 / _WIDEST, 1.0
    while work(high) < macs and high < _WIDEST:
        low, high = high, 2 * high
    if not work(low) <= macs <= work(high):
        raise UserError(
            f"macs = {macs:g}: a {config.kind} of this depth has from {work(low):.3g} to "
            f"{work(high):.3g} at "
            f"{image_size} px; choose another number, depth or image size"
        )
    while high - low > _STEP * high:
        middle = (low + high) / 2
        low, high = (low, middle) if work(middle) > macs else (middle, high)
    nearest = min((low, high), key=lambda width: abs(work(width) - macs))
    return dataclasses.replace(config, width_factor=nearest)
