"""Outcomes and prices: the metrics of trials in which the effect of a trick is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypedDict

from trickbag.errors import UserError, choices

if TYPE_CHECKING:
    from trickbag.errors import Note

__all__ = ["COSTS", "OUTCOMES", "Cells", "Cost", "Metrics", "TrialNotes", "require_outcome"]

Metrics = Mapping[str, float | int | None]
Cells = Mapping[tuple[str, str], Mapping[int, Metrics]]
"""The metrics of finished trials: (model, variant's label) -> seed -> metrics."""
TrialNotes = Mapping[tuple[str, str], Mapping[int, Sequence["Note"]]]
"""The notes of finished trials: (model, variant's label) -> seed -> notes."""

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

_SINGLE_LABEL = ("top1", "top5", "ece")
_MULTI_LABEL = ("map", "f1", "f1_micro", "f1_at_half")

COSTS = ("train_throughput", "infer_throughput", "params", "macs", "peak_memory", "train_time_s")
"""The metrics in which a trick has a price."""


class Cost(TypedDict):
    """A trick's price in one metric: the difference with minus without, and the ratio.

    `low` and `high` are the difference's 95 % t interval. `ratio` is the geometric mean of with
    over without. All are over `pairs` seeds, and None where they are not defined.
    """

    delta: float | None
    low: float | None
    high: float | None
    ratio: float | None
    pairs: int


def require_outcome(name: str, multi_label: bool | None = None) -> None:
    """Raise UserError where a study cannot have this metric as its outcome.

    Images with several labels each (`multi_label`) have other metrics than images with one; None:
    not known.
    """
    if name not in OUTCOMES:
        raise UserError(f"no outcome is called {name!r}; choose from {choices(OUTCOMES)}")
    if multi_label is None:
        return
    kind = (
        name.removeprefix("best_").removeprefix("train_").removeprefix("test_").removeprefix("raw_")
    )
    if kind in (_SINGLE_LABEL if multi_label else _MULTI_LABEL):
        labels = "several labels" if multi_label else "one label"
        raise UserError(
            f"outcome {name!r} is not defined for images with {labels}",
            f"choose from {choices([*(_MULTI_LABEL if multi_label else _SINGLE_LABEL), 'loss'])}",
        )
