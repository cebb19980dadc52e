"""The trials of a search for a policy: recipes that have it, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.recipe import digest
from trickbag.search.objective import ranked
from trickbag.study.trial import Trial
from trickbag.train.folder.identity import trial_of
from trickbag.tricks.auto_augment import AutoAugment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.policies.policies import Table
    from trickbag.recipe import Recipe
    from trickbag.search.autoaugment.space import Policy
    from trickbag.search.objective import SearchCandidate

__all__ = ["JOINED", "PolicyTrials", "Suggested", "best_of_folds", "with_policy", "without_policy"]

JOINED = 5
"""The best policies whose sub-policies are joined: 25 of 2 steps (Cubuk et al. 2018)."""


@dataclass(frozen=True)
class Suggested:
    """A policy, and the inner fold that judges it."""

    policy: Policy
    fold: int = 0


def without_policy(recipe: Recipe) -> Recipe:
    """Return a recipe without the trick that is its policy, if it has one."""
    return recipe.without(*(trick.name for trick in recipe.tricks if trick.slot == "policy"))


def with_policy(recipe: Recipe, table: Table) -> Recipe:
    """Return a recipe with a policy in the place of its own."""
    return without_policy(recipe).plus(AutoAugment(policy=table))


@dataclass(frozen=True, kw_only=True)
class PolicyTrials:
    """Makes trials of recipes that are judged by a fold: `recipes` by fold, all of one seed."""

    recipes: Mapping[int, Recipe]
    seed: int
    fingerprint: str

    def of(self, recipe: Recipe, label: str, **more: Any) -> Trial:
        """Return the trial of a recipe; with `more` facts that make its result another one."""
        facts = {**trial_of(recipe, self.seed, self.fingerprint), **more}
        return Trial(
            id=digest(facts), label=label, model=recipe.network, recipe=recipe, seed=self.seed
        )

    def with_policy(self, number: int, suggestion: Suggested, **more: Any) -> Trial:
        """Return the trial of a policy on its fold; `number` counts the suggestions from 0."""
        recipe = with_policy(self.recipes[suggestion.fold], suggestion.policy)
        fold = f" on fold {suggestion.fold}" if len(self.recipes) > 1 else ""
        return self.of(recipe, f"policy {number + 1}{fold}", **more)


def best_of_folds(
    candidates: Sequence[SearchCandidate[Suggested]], folds: int
) -> list[SearchCandidate[Suggested]]:
    """Return the best candidates, the same number of each fold, at most JOINED, best first.

    The losses of two folds do not compare: their networks and images differ.
    """
    left: list[list[SearchCandidate[Suggested]]] = [[] for _ in range(folds)]
    for candidate in ranked(candidates):
        left[candidate.suggestion.fold].append(candidate)
    best: list[SearchCandidate[Suggested]] = []
    # The best of each fold, then the second of each, and so on.
    while any(left):
        for of_fold in left:
            # A policy that was suggested twice is one.
            known = {candidate.suggestion.policy for candidate in best}
            while of_fold and of_fold[0].suggestion.policy in known:
                of_fold.pop(0)
            if of_fold:
                best.append(of_fold.pop(0))
    return best[:JOINED]
