"""Quantities as text for people: titles, units and digits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from trickbag.metrics.metric import interval_decimals, metric

__all__ = [
    "ABSENT",
    "MINUS",
    "TIMES",
    "amount",
    "around",
    "count",
    "duration",
    "interval_text",
    "number",
    "percent",
    "plus_minus",
    "probability",
    "ratio",
    "short_title",
    "signed",
    "span",
    "title",
    "unit",
    "value_text",
]

ABSENT = "—"
"""What stands for a value that is not defined."""

# A hyphen in place of a minus is hard to see, and a line may break after it. For the same reason a
# space between a number and its unit is one that does not break, U+00A0.
MINUS, TIMES = "\u2212", "\u00d7"


def title(name: str) -> str:
    """Return the title of a metric."""
    entry = metric(name)
    return entry.title if entry else name.replace("_", " ")


def short_title(name: str) -> str:
    """Return the short title of a metric, for axes, heads of tables and sentences."""
    entry = metric(name)
    return entry.symbol or entry.title if entry else title(name)


def unit(name: str) -> str:
    """Return the unit of a metric; empty for a count and for an unknown metric."""
    entry = metric(name)
    return entry.unit if entry else ""


def number(name: str, value: float | None, *, signed: bool = False) -> str:
    """Write a metric's value with its number of decimals, without its unit."""
    if value is None:
        return ABSENT
    entry = metric(name)
    sign = "+" if signed else ""
    if entry is None:
        return f"{value:{sign}.6g}"
    # With fixed decimals the end of a decay would be 0.000000.
    if name == "lr":
        return f"{value:{sign}.4g}"
    return f"{value:{sign},.{entry.decimals}f}"


def signed(name: str, value: float | None) -> str:
    """Write a difference of a metric with its sign, without its unit; minus is U+2212."""
    text = number(name, value, signed=True)
    # A difference that rounds to zero has no sign.
    return (
        text.replace("-", MINUS)
        if any(digit in text for digit in "123456789")
        else text.lstrip("+-")
    )


def span(name: str, low: float | None, high: float | None) -> str:
    """Write an interval of differences: `+1.31 to +2.49`."""
    return ABSENT if low is None or high is None else f"{signed(name, low)} to {signed(name, high)}"


def interval_text(name: str, interval: tuple[float, float] | None) -> str:
    """Write an interval of a metric, without its unit: `96.4 to 99.4`; empty without one."""
    if interval is None:
        return ""
    entry = metric(name)
    decimals = interval_decimals(interval, 4 if entry is None else entry.decimals)
    low, high = (f"{end:,.{decimals}f}".replace("-", MINUS) for end in interval)
    return f"{low} to {high}"


def plus_minus(value: float, half: float | None) -> str:
    """Write a size and the half width of its interval, rounded by the half width: `1.9 ± 0.6`."""
    if half is None:
        return f"{value:.3g}"
    decimals = _decimals(half) if half > 0 else 2
    return f"{value:,.{decimals}f}\u00a0±\u00a0{half:,.{decimals}f}"


def _decimals(half: float) -> int:
    """Return the number of decimals that show one digit of `half`, two if the first is a 1."""
    # With one digit 0.14 would be 0.1, a third less.
    power = math.floor(math.log10(half))
    leading = half / 10.0**power
    return min(12, max(0, -power + (leading < 1.95)))


def around(name: str, values: Sequence[float]) -> str:
    """Write the mean and the standard deviation of a metric's values: `98.31 ± 0.22`.

    One value is written alone.
    """
    if not values:
        return ABSENT
    mean = number(name, sum(values) / len(values))
    if len(values) < 2:
        return mean
    # The seeds are a sample: divided by n - 1, not by n.
    return f"{mean}\u00a0±\u00a0{number(name, statistics.stdev(values))}"


def probability(p: float | None) -> str:
    """Write a p-value."""
    if p is None:
        return ABSENT
    return "<\u00a00.001" if p < 0.001 else f"{p:.3g}" if p < 0.1 else f"{p:.2f}"


def ratio(value: float | None) -> str:
    """Write a ratio, with a multiplication sign before it."""
    if value is None:
        return ABSENT
    return TIMES + (f"{value:.3g}" if value < 0.1 or value >= 100 else f"{value:.2f}")


def amount(name: str, value: float | None) -> str:
    """Write a cost metric in short, with its unit: `37.4 M`, `512 images/s`, `1.2 GB`."""
    if value is None:
        return ABSENT
    if name == "train_time_s":
        return duration(value)
    if unit(name) == "bytes":
        size, letter = (1e9, "GB") if abs(value) >= 1e9 else (1e6, "MB")
        return f"{value / size:.3g}\u00a0{letter}"
    if not unit(name):
        return count(value)
    return f"{number(name, value)}\u00a0{unit(name)}"


def percent(value: float | None, digits: int = 2) -> str:
    """Write a value in percent."""
    return ABSENT if value is None else f"{value:.{digits}f}\u00a0%"


def count(value: float | None) -> str:
    """Write a count, a large one in short: `11.2 M`."""
    if value is None:
        return ABSENT
    # Up to 9,999 a count has no more characters in full.
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}\u00a0{letter}"
    return f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Write a time span: `41.3 s`, `1 min 23 s`, `2 h 05 min`."""
    if seconds is None:
        return ABSENT
    if seconds < 59.95:  # from there on it would be rounded to 60.0 s
        return f"{seconds:.1f}\u00a0s"
    # Rounded before it is divided: 119.7 s is 2 min 00 s, not 1 min 60 s.
    if seconds < 3600:
        return f"{round(seconds) // 60}\u00a0min {round(seconds) % 60:02d}\u00a0s"
    return f"{round(seconds / 60) // 60}\u00a0h {round(seconds / 60) % 60:02d}\u00a0min"


def value_text(value: Any) -> str:
    """Write a setting: `true`, `none`, `0.08, 1`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}" if math.isfinite(value) else ABSENT
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items()) or "none"
    return str(value)
