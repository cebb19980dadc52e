"""Random search: policies drawn uniformly, whatever the rewards were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.search.autoaugment.space import draw
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.search.autoaugment.space import Policy

__all__ = ["RandomController"]


class RandomController:
    """Suggests policies of uniform decisions: the control of the other controllers."""

    def __init__(self, seed: int, batch: int) -> None:
        self.seed, self.batch = seed, batch
        self._batches = 0

    def suggest(self) -> list[Policy]:
        """Return the next policies."""
        rng = stream(self.seed, "search random", self._batches)
        return [draw(rng) for _ in range(self.batch)]

    def tell(self, rewards: Sequence[float | None]) -> None:
        """Go on to the next batch."""
        self._batches += 1
