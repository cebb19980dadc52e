"""Which tricks cannot work on a network, found by building it once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trickbag.errors import DoesNotApply

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = ["inapplicable"]


def inapplicable(recipe: Recipe, tricks: Iterable[Trick], dataset: Dataset) -> dict[str, str]:
    """Return the tricks, by name, that cannot change the built network of a recipe, each with the reason.

    Those that plain data tell (their value hooks raise `DoesNotApply`) are found by the designs
    themselves. Raises UserError where the network cannot be built.
    """
    asked = [trick for trick in tricks if trick.overrides("network")]
    if not asked:
        return {}
    from trickbag.models.zoo import build_network
    from trickbag.train.plan import resolve
    from trickbag.tricks.trick import NoEffect

    plan, _ = resolve(recipe.only(), dataset, seed=0)
    network = build_network(plan.model, seed=0)
    found = {}
    for trick in asked:
        try:
            trick.network(network)
        except DoesNotApply as error:
            found[trick.name] = str(error)
        except NoEffect:
            pass
    return found
