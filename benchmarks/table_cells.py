"""Cells and captions of the tables that benchmarks/tables.py writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table_row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def plus_minus(interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return f"{interval['mean']:.2f}"
    return f"{interval['mean']:.2f} ± {interval['high'] - interval['mean']:.2f}"


def median_and_range(ratio: dict[str, Any]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def machine(environment: dict[str, Any]) -> str:
    processor = environment["gpu"] or environment["cpu"]
    return f"{processor}, {environment['cores']} cores, torch {environment['versions']['torch']}"


def caption(result: dict[str, Any]) -> str:
    """Write what was measured, by which script and on which machine."""
    text = result["what"]
    return (
        f"{text[0].upper()}{text[1:]}. Measured by `{result['script']}` on "
        f"{machine(result['environment'])}."
    )


def or_dash(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
