"""How quantities are written for people: their titles, units and digits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["ABSENT", "count", "duration", "number", "percent", "title", "unit", "value_text"]

ABSENT = "—"
"""What stands for a value that is not defined."""

_METRICS: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "top1": ("top-1", "%", 2),
        "top5": ("top-5", "%", 2),
        "loss": ("loss", "nats", 4),
        "ece": ("expected calibration error", "%", 2),
        "best_top1": ("best top-1", "%", 2),
        "best_epoch": ("epoch of the best top-1", "", 0),
        "train_throughput": ("training throughput", "images/s", 0),
        "params": ("parameters", "", 0),
        "macs": ("multiply-adds of an image", "", 0),
        "train_loss": ("training loss", "nats", 4),
        "train_top1": ("training top-1", "%", 2),
        "lr": ("learning rate", "", 6),
        "epoch": ("epoch", "", 0),
        "step": ("step", "", 0),
        "time_s": ("time", "s", 1),
        "train_time_s": ("training time", "s", 1),
    }
)
"""Title, unit and digits of the metrics that a run has; `test_top1` and the like are those of the test part."""


def _known(name: str) -> tuple[str, str, int] | None:
    if name.startswith("test_") and name.removeprefix("test_") in _METRICS:
        words, unit_, digits = _METRICS[name.removeprefix("test_")]
        return f"test {words}", unit_, digits
    return _METRICS.get(name)


def title(name: str) -> str:
    """Return what a metric is called."""
    known = _known(name)
    return known[0] if known else name.replace("_", " ")


def unit(name: str) -> str:
    """Return a metric's unit; empty for counts and for metrics that are not known."""
    known = _known(name)
    return known[1] if known else ""


def number(name: str, value: float | None, *, signed: bool = False) -> str:
    """Write a metric's value with its usual digits, without its unit."""
    if value is None:
        return ABSENT
    known = _known(name)
    sign = "+" if signed else ""
    if known is None:
        return f"{value:{sign}.6g}"
    if known[0] == "learning rate":
        return f"{value:{sign}.4g}"
    return f"{value:{sign},.{known[2]}f}"


def percent(value: float | None, digits: int = 2) -> str:
    """Write a value that is in percent."""
    return ABSENT if value is None else f"{value:.{digits}f}\u00a0%"


def count(value: float | None) -> str:
    """Write a large count in short: `11.2 M`."""
    if value is None:
        return ABSENT
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}\u00a0{letter}"
    return f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Write a time span: `41.3 s`, `1 min 23 s`, `2 h 05 min`."""
    if seconds is None:
        return ABSENT
    if seconds < 59.95:
        return f"{seconds:.1f}\u00a0s"
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
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items()) or "none"
    return str(value)
