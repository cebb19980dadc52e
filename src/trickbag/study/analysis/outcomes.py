"""Outcomes and prices: the metrics of trials in which the effect of a trick is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypedDict

from trickbag.errors import UserError, choices

__all__ = ["COSTS", "OUTCOMES", "Cells", "Cost", "Metrics", "Warnings", "require_outcome"]

Metrics = Mapping[str, float | int | None]
Cells = Mapping[tuple[str, str], Mapping[int, Metrics]]
"""The metrics of finished trials: (model, variant's label) -> seed -> metrics."""
Warnings = Mapping[tuple[str, str], Sequence[str]]
"""What the trials of a variant warned of: (model, variant's label) -> texts."""

OUTCOMES: Mapping[str, Literal["higher", "lower"]] = MappingProxyType(
    {
        "top1": "higher",
        "top5": "higher",
        "loss": "lower",
        "ece": "lower",
        "best_top1": "higher",
        "train_loss": "lower",
        "train_top1": "higher",
        "test_top1": "higher",
        "test_top5": "higher",
        "test_loss": "lower",
        "test_ece": "lower",
        "raw_top1": "higher",
        "raw_top5": "higher",
        "raw_loss": "lower",
        "raw_ece": "lower",
        "map": "higher",
        "f1": "higher",
        "f1_micro": "higher",
        "f1_at_half": "higher",
        "best_map": "higher",
        "test_map": "higher",
        "test_f1": "higher",
        "train_throughput": "higher",
        "infer_throughput": "higher",
        "train_time_s": "lower",
        "params": "lower",
        "macs": "lower",
        "peak_memory": "lower",
    }
)
"""The metrics that can be a study's outcome, and the direction in which each is better."""

_OF_ONE = ("top1", "top5", "ece")
_OF_SEVERAL = ("map", "f1", "f1_micro", "f1_at_half")

COSTS = ("train_throughput", "infer_throughput", "params", "macs", "peak_memory", "train_time_s")
"""The metrics in which a trick has a price."""


class Cost(TypedDict):
    """A trick's price in one metric: the difference with minus without and its 95 % t interval, and the ratio.

    `ratio` is the geometric mean of with over without. All are over `pairs` seeds, and None where
    not defined.
    """

    delta: float | None
    low: float | None
    high: float | None
    ratio: float | None
    pairs: int


def require_outcome(name: str, several: bool | None = None) -> None:
    """Raise UserError where a study cannot have this metric as its outcome.

    `several` says whether its images have several labels each, for which other metrics are defined;
    None: not known.
    """
    if name not in OUTCOMES:
        raise UserError(f"no outcome is called {name!r}; choose from {choices(OUTCOMES)}")
    if several is None:
        return
    kind = (
        name.removeprefix("best_").removeprefix("train_").removeprefix("test_").removeprefix("raw_")
    )
    if kind in (_OF_ONE if several else _OF_SEVERAL):
        labels = "several labels" if several else "one label"
        raise UserError(
            f"outcome {name!r} is not defined for images with {labels}; choose from "
            f"{choices([*(_OF_SEVERAL if several else _OF_ONE), 'loss'])}"
        )
