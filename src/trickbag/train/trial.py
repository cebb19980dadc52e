"""What makes two runs the same trial: plain data, and the id that is its hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.recipe import Recipe

__all__ = ["trial_of"]


def trial_of(recipe: Recipe, seed: int, fingerprint: str) -> dict[str, Any]:
    """Return the plain data that a trial's id hashes: recipe, seed, fingerprint of the data, digest of the weights.

    `trickbag.recipe.digest` makes the id of it. Raises UserError where the recipe's weights cannot be read.
    """
    init = None
    if recipe.training.init:
        from trickbag.models.weights import weights_digest

        init = weights_digest(Path(recipe.training.init))
    return {"recipe": recipe.identity(), "seed": seed, "data": fingerprint, "init": init}
