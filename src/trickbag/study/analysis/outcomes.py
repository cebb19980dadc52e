"""Outcomes and prices: the metrics of trials in which the effect of a trick is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict

from trickbag.errors import UserError, choices
from trickbag.metrics.metric import ALIASES, EVALUATED, METRICS, PREFIXES, defined_metrics, metric
from trickbag.study.units import Unit

if TYPE_CHECKING:
    from trickbag.errors import Note
    from trickbag.metrics.metric import Better, TaskKind

__all__ = ["COSTS", "OUTCOMES", "Cells", "Cost", "Metrics", "TrialNotes", "require_outcome"]

Metrics = Mapping[str, float | int | None]
Cells = Mapping[tuple[str, str], Mapping[Unit, Metrics]]
"""The metrics of finished trials: (model, variant's label) -> seed, or fold and seed -> metrics."""
TrialNotes = Mapping[tuple[str, str], Mapping[Unit, Sequence["Note"]]]
"""The notes of finished trials: (model, variant's label) -> seed, or fold and seed -> notes."""

OUTCOMES: Mapping[str, Better] = MappingProxyType(
    {
        name: entry.better
        for name in (*METRICS, *(f"{prefix}{name}" for prefix in PREFIXES for name in EVALUATED))
        if (entry := metric(name)) is not None
        and entry.better is not None
        # The trained network of a run that evaluates its average has the metrics of epochs alone.
        and not (name.startswith("raw_") and entry.needs_logits)
    }
)
"""The metrics that can be a study's outcome, and the direction in which each is better."""

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


def require_outcome(
    name: str,
    multi_label: bool | None = None,
    num_classes: int | None = None,
    task: TaskKind | None = None,
) -> None:
    """Raise UserError where a study cannot have this metric as its outcome.

    Each task has metrics of its own. Images with several labels each (`multi_label`) have other
    metrics than images with one, and some metrics need a certain number of classes; None: not
    known.
    """
    if name not in OUTCOMES:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
        alias = ALIASES.get(name.removeprefix(prefix))
        known = f" ({prefix + alias!r} is the name)" if alias and prefix + alias in OUTCOMES else ""
        raise UserError(
            f"no outcome is called {name!r}{known}; choose from "
            f"{choices(name for name in OUTCOMES if name in METRICS)}",
            f"the metrics of an evaluation also with {', '.join(PREFIXES)} before them",
        )
    entry = metric(name)
    if entry is None or entry.is_defined(multi_label, num_classes, task):
        return
    allowed = f"choose from {choices(defined_metrics(multi_label, num_classes, task))}"
    if task is not None and task not in entry.tasks:
        raise UserError(f"outcome {name!r} is not defined for {task}", allowed)
    if not entry.is_defined(multi_label, None):
        labels = "several labels" if multi_label else "one label"
        raise UserError(f"outcome {name!r} is not defined for images with {labels}", allowed)
    raise UserError(f"outcome {name!r} is not defined for {num_classes} classes", allowed)
