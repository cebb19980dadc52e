"""Which tricks cannot work on a network: by plain data, or by building the network once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import DoesNotApply, UserError
from trickbag.tricks.trick import NoEffect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = ["unfit_for_network", "unfit_for_recipe"]


def unfit_for_network(recipe: Recipe, tricks: Iterable[Trick], dataset: Dataset) -> dict[str, str]:
    """Return the tricks, by name, that cannot work on a recipe's built network, with the reason.

    Those that plain data tell are found by the designs themselves (`unfit_for_recipe`). Raises
    UserError where the network cannot be built.
    """
    from trickbag.train.plan.channels import colour_reason
    from trickbag.train.plan.task_tricks import task_reason

    tricks, count = list(tricks), dataset.pixels.count
    reasons = {t.name: reason for t in tricks if (reason := colour_reason(t, count))}
    reasons |= {t.name: reason for t in tricks if (reason := task_reason(t, recipe.task))}
    changing = [trick for trick in tricks if trick.overrides("network")]
    if not changing:
        return reasons
    from trickbag.models.zoo import build_network
    from trickbag.train.plan.resolve import resolve

    # Without its tricks: one that does not apply would raise here, and hide the others' reasons.
    plan, _ = resolve(recipe.only(), dataset, seed=0)
    # Hooks change the backbone of a detector or a segmenter, which is this network.
    network = build_network(plan.model, seed=0)
    for trick in changing:
        try:
            trick.network(network)
        except DoesNotApply as error:
            reasons[trick.name] = error.reason
        except NoEffect:
            pass
    return reasons


def unfit_for_recipe(recipe: Recipe, reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the recipe's tricks that do not apply to its network, by name, with the reason.

    `reasons` are those that were found by building the network. Hooks on built objects are not
    called here, so that a trick may still turn out not to apply when a trial is built.
    """
    unfit = {name: reasons[name] for name in recipe.trick_names if name in reasons}
    for hook in ("data", "model", "training", "schedule"):
        value: Any = getattr(recipe, hook)
        for trick in recipe.tricks:
            if trick.name in unfit:
                continue
            try:
                value = getattr(trick, hook)(value)
            except DoesNotApply as error:
                unfit[trick.name] = error.reason
            except (NoEffect, UserError):
                # A wrong value is left to the trial, which reports it: only there have the data
                # settled all values.
                pass
    return unfit
