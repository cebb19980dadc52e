"""Durations, as people write them and as lines and tables do."""

from __future__ import annotations

import re

from trickbag.errors import UserError

__all__ = ["MAX_BUDGET_S", "about", "parse_time"]

MAX_BUDGET_S = 10 * 365 * 86_400
"""Ten years."""

_UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


def parse_time(text: str, title: str) -> float:
    """Return the seconds of a time such as `2h`, `90min`, `1h30m` or `45s`; UserError otherwise."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)", text)
    compact = re.sub(r"\s", "", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != compact or seconds <= 0:
        raise UserError(f"{title} = {text!r}: must be a time such as 2h, 90min, 1h30m or 45s")
    if seconds > MAX_BUDGET_S:
        raise UserError(f"{title} = {text!r}: must be at most ten years")
    return seconds


def about(seconds: float) -> str:
    """Write a time in its two leading units: `2 h 5 min`, `3 min 20 s`, `12 s`."""
    total = max(0, round(seconds))
    # Hours from rounded minutes: 3,599 s are 1 h, not 60 min.
    hours, minutes = divmod(round(total / 60), 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if total >= 60:
        minutes, rest = divmod(total, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{total} s"
