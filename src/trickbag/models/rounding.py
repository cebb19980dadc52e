"""The rounding rules of a network whose depth or width is multiplied.

Source: the code of Tan & Le 2019 (arXiv 1905.11946); they hold for MobileNet's width too.
"""

from __future__ import annotations

import math

__all__ = ["round_channels", "round_repeats"]

DIVISOR = 8
"""Numbers of channels are multiples of this."""

KEPT = 0.9
"""The share of the channels that rounding must leave."""

_DIGITS = 9


def round_channels(channels: int, factor: float) -> int:
    """Return `channels * factor`, rounded to the nearest multiple of 8, but at least 90 % of it."""
    product = round(channels * factor, _DIGITS)
    rounded = max(DIVISOR, int(product + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < KEPT * product else rounded


def round_repeats(blocks: int, factor: float) -> int:
    """Return `blocks * factor`, rounded up."""
    # 25 * 2.2 is more than 55 in floating point, and would be 56 blocks.
    return math.ceil(round(blocks * factor, _DIGITS))
