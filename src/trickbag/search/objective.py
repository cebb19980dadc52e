"""What a search tries: how a suggestion becomes a trial, and what the result is worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from trickbag.study.task import TrainTrial

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.search.controller import Controller
    from trickbag.search.folder import SearchFolder
    from trickbag.study.executors import Task
    from trickbag.study.records.result import StoredResult
    from trickbag.study.trial import Trial

__all__ = ["Objective", "SearchCandidate", "ranked"]

Suggestion = TypeVar("Suggestion")


@dataclass(frozen=True, kw_only=True)
class SearchCandidate(Generic[Suggestion]):
    """A suggestion that was tried: its number from 0, its trial, and its reward.

    The reward is None where the trial failed.
    """

    number: int
    suggestion: Suggestion
    trial: Trial
    reward: float | None


class Objective(ABC, Generic[Suggestion]):
    """What a search looks for, on settled data.

    `reward` is the name of what is maximised, as tables call it. `preparation` are trials that are
    trained before the first suggestion, and whose weights its trials need. `trains` tells whether
    the trial of a suggestion trains a network, `same_data` whether all trials have the same parts.
    """

    reward: str
    preparation: tuple[Trial, ...] = ()
    trains: bool = True
    same_data: bool = True

    @property
    def most(self) -> int | None:
        """The number of suggestions that there are; None where they do not end."""
        return None

    @abstractmethod
    def controller(self) -> Controller[Suggestion]:
        """Return a controller that has been told nothing."""

    @abstractmethod
    def trial(self, number: int, suggestion: Suggestion) -> Trial:
        """Return the trial of a suggestion; `number` counts them from 0."""

    def task(self, folder: Path, dataset: Dataset | None) -> Task:
        """Return what runs the trial of a suggestion in `folder`."""
        return TrainTrial(folder=folder, dataset=dataset)

    @abstractmethod
    def reward_of(self, result: StoredResult) -> float | None:
        """Return the reward of a finished trial, higher is better; None where it has none."""

    @abstractmethod
    def describe(self, suggestion: Suggestion) -> dict[str, Any]:
        """Return a suggestion as plain data, as `candidates.json` has it."""

    @abstractmethod
    def seconds(self) -> tuple[float, float]:
        """Return the seconds of a trial of the preparation and of one of a suggestion.

        They are measured in this process by running a little of each. The first is 0 without a
        preparation.
        """

    @abstractmethod
    def write_best(
        self, folder: SearchFolder, candidates: Sequence[SearchCandidate[Suggestion]]
    ) -> None:
        """Write the best that is known after these candidates, so that no crash tears it.

        There is at least one candidate with a reward.
        """

    def finish(
        self, folder: SearchFolder, candidates: Sequence[SearchCandidate[Suggestion]]
    ) -> None:
        """Write what is measured of the best once the search has ended; by default nothing."""

    @abstractmethod
    def summary(self, candidates: Sequence[SearchCandidate[Suggestion]]) -> list[str]:
        """Return the lines that say what was found."""


def ranked(candidates: Sequence[SearchCandidate[Suggestion]]) -> list[SearchCandidate[Suggestion]]:
    """Return the candidates that have a reward, the best first; of equal ones the earlier first."""
    known = [candidate for candidate in candidates if candidate.reward is not None]
    return sorted(known, key=lambda candidate: (-(candidate.reward or 0.0), candidate.number))
