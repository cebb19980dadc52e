"""Controllers: what suggests the next things to try, and learns from how good they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["Controller"]

Suggestion = TypeVar("Suggestion")


class Controller(Protocol[Suggestion]):
    """Suggests batches of a fixed size, and is told the reward of each suggestion.

    What a controller suggests depends on its seed, its settings and the rewards that it was told,
    and on nothing else: who ran the trials, how many at once and in how many calls makes no
    difference. A search that was killed tells a new controller the stored rewards again.
    """

    @property
    def batch(self) -> int:
        """The number of suggestions at a time; the same for the whole search."""
        ...

    def suggest(self) -> list[Suggestion]:
        """Return the next `batch` suggestions."""
        ...

    def tell(self, rewards: Sequence[float | None]) -> None:
        """Take the rewards of the last suggestions, in their order; higher is better.

        None stands for a trial that failed. There are fewer rewards than suggestions only where the
        search ends.
        """
        ...
