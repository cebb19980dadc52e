"""What the trials of a search are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.metrics.metric import default_score

if TYPE_CHECKING:
    from trickbag.recipe import Recipe

__all__ = ["score_of"]


def score_of(recipe: Recipe) -> str:
    """Return the metric that judges a trial of a recipe."""
    return recipe.training.score or default_score(recipe.data.multi_label, recipe.task.kind)
