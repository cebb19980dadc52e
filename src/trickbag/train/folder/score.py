"""The choice of the best epoch: by a score, then by the loss, then the later epoch."""

from __future__ import annotations

from trickbag.metrics.metric import EVALUATED

__all__ = ["is_better"]

Scored = tuple[float | None, float | None]
"""The score and the loss of an epoch; None where undefined."""


def is_better(name: str, later: Scored, best: Scored) -> bool:
    """Tell whether a later epoch is better than the best so far, by the metric `name`.

    Of equal scores the smaller loss counts, then the later epoch. A score that is not defined is
    worse than any other.
    """
    return _rank(name, later) >= _rank(name, best)


def _rank(name: str, scored: Scored) -> tuple[float, float]:
    score, loss = scored
    lowest = float("-inf")
    sign = -1 if EVALUATED[name].better == "lower" else 1
    return (lowest if score is None else sign * score), (lowest if loss is None else -loss)
