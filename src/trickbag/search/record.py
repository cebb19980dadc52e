"""The record of `search.json`: what is searched, by what, and how far it has come."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from trickbag.durations import MAX_BUDGET_S
from trickbag.errors import UserError, shown
from trickbag.ranges import MAX_EPOCHS, AtLeast, Between, Seed
from trickbag.settings import Settings
from trickbag.study.limits import MAX_PROCESSES

__all__ = ["MAX_TRIALS", "Pilot", "SearchRecord"]

MAX_TRIALS = 1_000_000
"""The most trials of a search."""

Seconds = Annotated[float, AtLeast(0, MAX_BUDGET_S)]
Trials = Annotated[int, AtLeast(1, MAX_TRIALS)]

_IDENTITY = (
    "search",
    "recipe",
    "settings",
    "seed",
    "folds",
    "epochs",
    "data",
    "threads",
    "device",
)
"""What makes two searches the same: the trials follow from these."""


@dataclass(frozen=True, kw_only=True)
class Pilot(Settings):
    """What a trial was found to cost before the first one, in seconds, and how many run at once."""

    preparation_s: Seconds
    trial_s: Seconds
    workers: Annotated[int, AtLeast(1, MAX_PROCESSES)]


@dataclass(frozen=True, kw_only=True)
class SearchRecord(Settings):
    """What a search's folder says of it.

    - search, recipe, settings, seed: what is searched, in the trials of which recipe, with which
      settings of the search (plain data) and which seed.
    - folds, epochs: the inner folds of the training part, and the epochs of each trial.
    - data: the fingerprint. threads, device: those of every trial.
    - budget_s: the time that was allowed, in seconds; pilot: what it was divided by; planned: the
      number of suggestions that followed from it, or that was given.
    - trials: the number of suggestions that were tried once the search has ended, None before;
      `--trials` with this number repeats it. spent_s: the seconds so far, in all calls; trial_s:
      those of a trial of the last batch, by which the next call judges how many still fit.
    """

    schema: Literal[1] = 1
    version: str
    command: str
    search: Literal["autoaugment", "scaling"]
    recipe: Any
    settings: Any
    seed: Annotated[int, Seed]
    folds: Annotated[int, Between(2, 100)]
    epochs: Annotated[int, AtLeast(1, MAX_EPOCHS)]
    data: str
    threads: Annotated[int, AtLeast(1, MAX_PROCESSES)]
    device: str
    budget_s: Seconds | None = None
    pilot: Pilot | None = None
    planned: Trials
    trials: Annotated[int, AtLeast(0, MAX_TRIALS)] | None = None
    spent_s: Seconds = 0.0
    trial_s: Seconds | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("recipe", "settings"):
            value = getattr(self, name)
            if not isinstance(value, dict):
                raise UserError(f"searchrecord.{name} = {shown(value)}: must be a JSON object")

    def require_same(self, other: SearchRecord, folder: object, way_out: str) -> None:
        """Raise UserError where `other`, of this folder, is another search, saying what differs."""
        for name in _IDENTITY:
            value, stored = getattr(self, name), getattr(other, name)
            if value == stored:
                continue
            if name == "data":
                raise UserError(f"{folder} holds a search on other data", way_out)
            if isinstance(value, dict) and isinstance(stored, dict):
                name, value, stored = _difference(name, value, stored)
            raise UserError(
                f"{folder} holds a search with {name} = {shown(stored)}, not {shown(value)}",
                way_out,
            )

    def after(
        self, spent_s: float, trial_s: float | None, trials: int | None = None
    ) -> SearchRecord:
        """Return the record with the time so far, and the number of trials if it has ended."""
        return dataclasses.replace(self, spent_s=spent_s, trial_s=trial_s, trials=trials)


def _difference(
    path: str, value: dict[str, Any], stored: dict[str, Any]
) -> tuple[str, object, object]:
    """Return the path and the values of the first setting that differs."""
    for name in {**value, **stored}:
        left, right = value.get(name), stored.get(name)
        if left != right:
            place = f"{path}.{name}"
            if isinstance(left, dict) and isinstance(right, dict):
                return _difference(place, left, right)
            return place, left, right
    return path, value, stored
