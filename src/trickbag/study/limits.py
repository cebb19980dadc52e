"""The largest counts of a study: more is a slip, or a file that was altered."""

from __future__ import annotations

from trickbag.durations import MAX_BUDGET_S
from trickbag.errors import UserError
from trickbag.ranges import AtLeast, Between

__all__ = [
    "MAX_FACTORS",
    "MAX_PROCESSES",
    "MAX_RETRIES",
    "MAX_SEEDS",
    "require_within",
]

MAX_SEEDS = 10_000
MAX_FACTORS = 12
"""The most tricks of a factorial."""

MAX_RETRIES = 1000
MAX_PROCESSES = 4096
"""The most workers, and the most cores, processors or processes of a trial."""

_RANGES = {
    "seeds": AtLeast(1, MAX_SEEDS),
    "max_seeds": AtLeast(2, MAX_SEEDS),
    "retries": AtLeast(0, MAX_RETRIES),
    "workers": AtLeast(1, MAX_PROCESSES),
    "threads": AtLeast(1, MAX_PROCESSES),
    "trials_per_gpu": AtLeast(1, MAX_PROCESSES),
    "devices": AtLeast(1, MAX_PROCESSES),
    "processes": AtLeast(1, MAX_PROCESSES),
    "cpus": Between(0, MAX_PROCESSES, open_low=True, capped=True),
    "gpus": AtLeast(0, MAX_PROCESSES),
    "grace_s": AtLeast(0, MAX_BUDGET_S),
}


def require_within(place: str = "", **values: float | None) -> None:
    """Raise UserError unless each value is within the range of its name; None is no value."""
    for name, value in values.items():
        if value is not None and value not in _RANGES[name]:
            raise UserError(f"{place}{name} = {value}: must be {_RANGES[name]}")
