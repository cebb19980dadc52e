"""Times and estimates as a study's lines and tables write them, and as people write them for it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trickbag.errors import UserError

if TYPE_CHECKING:
    from trickbag.study.analysis.effects import Effect, Metrics

__all__ = ["about", "estimate_text", "mean_of", "parse_time", "seeds_text"]

_UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


def parse_time(text: str, title: str) -> float:
    """Read a time such as `2h`, `90min`, `1h30m` or `45s` as seconds; UserError where it is
    none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)", text)
    whole = re.sub(r"\s", "", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != whole or seconds <= 0:
        raise UserError(f"{title} = {text!r}: must be a time such as 2h, 90min, 1h30m or 45s")
    return seconds


def about(seconds: float) -> str:
    """Write a time in its two leading units: `2 h 5 min`, `3 min 20 s`, `12 s`."""
    total = max(0, round(seconds))
    hours, minutes = divmod(round(total / 60), 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if total >= 60:
        minutes, rest = divmod(total, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{total} s"


def seeds_text(seeds: Sequence[int]) -> str:
    """Write seeds in order, those that follow each other as a range: `0, 2-5`."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def mean_of(cell: Mapping[int, Metrics], outcome: str) -> str:
    """Write the mean of a metric over the seeds of a variant that have it; `-` where none has."""
    values = [value for metrics in cell.values() if (value := metrics.get(outcome)) is not None]
    return f"{statistics.fmean(values):.4g}" if values else "-"


def estimate_text(effect: Effect | None) -> tuple[str, str]:
    """Write an effect and its interval: `+1.90`, `+1.32 to +2.48`; `-` where they are not
    defined."""
    if effect is None or effect.delta is None:
        return "-", "-"
    if effect.low is None or effect.high is None:
        return f"{effect.delta:+.3g}", "-"
    return f"{effect.delta:+.3g}", f"{effect.low:+.3g} to {effect.high:+.3g}"
