"""Ranges of numbers, which annotate the fields of settings: `Annotated[int, AtLeast(1, 100)]`."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "MAX_EPOCHS",
    "Above",
    "AtLeast",
    "Between",
    "Fraction",
    "NonNegative",
    "Positive",
    "Seed",
]


@dataclass(frozen=True)
class Between:
    """A range of numbers with its ends, unless `open_low` or `open_high` excludes one.

    `capped`: the high end is no end of the scale, but what memory and time can bear.
    """

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    capped: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        if self.capped or self.high == math.inf:
            most = f", at most {_figure(self.high)}" if self.capped else ""
            return f"{'above' if self.open_low else 'at least'} {_figure(self.low)}{most}"
        return (
            f"from {self.low:g}{' (excluded)' * self.open_low} to "
            f"{self.high:g}{' (excluded)' * self.open_high}"
        )


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def AtLeast(low: float, most: float = math.inf) -> Between:  # noqa: N802  (reads as a type)
    """Return the range of numbers from `low` up, to `most` where there is a limit."""
    return Between(low, most, capped=most < math.inf)


def Above(low: float, most: float) -> Between:  # noqa: N802
    """Return the range of numbers above `low` to the limit `most`."""
    return Between(low, most, open_low=True, capped=True)


Positive = Between(0, open_low=True)
NonNegative = Between(0)
Fraction = Between(0, 1)
Seed = AtLeast(-(2**63), 2**63 - 1)
MAX_EPOCHS = 100_000
"""The most epochs of a run, and of anything that lasts a number of epochs."""
