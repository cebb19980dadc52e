"""A policy that was found, against none, a published one, and random search at equal cost."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from trickbag.data.policies.policy_file import read_table
from trickbag.data.size import shorter_side
from trickbag.search.autoaugment.trials import with_policy, without_policy
from trickbag.search.comparison import named
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.auto_augment import AutoAugment

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.search.autoaugment.search import AutoAugmentSearch
    from trickbag.search.log import SearchLog
    from trickbag.search.search import SearchResult
    from trickbag.study.executors import Executor
    from trickbag.train.folder.caller import Caller

__all__ = ["policy_arms"]

SMALL = 40
"""The size of images in pixels up to which the published policy is that of CIFAR-10."""


def policy_arms(
    search: AutoAugmentSearch,
    result: SearchResult,
    executor: Executor,
    *,
    log: SearchLog,
    caller: Caller,
) -> tuple[Recipe, ...]:
    """Return the recipes to compare; runs the random search, in the folder of the other one.

    The random search takes as long as the other one took. The published policy is that of ImageNet,
    or that of CIFAR-10 for images of at most SMALL pixels.
    """
    plan, _ = resolve(search.recipe, result.dataset, search.seed)
    small = shorter_side(plan.image_size) <= SMALL
    table: Literal["cifar10", "imagenet"] = "cifar10" if small else "imagenet"
    recipe, policy = search.recipe, read_table(result.folder.policy)
    bare = without_policy(recipe)
    arms = [
        named(bare, "no_policy"),
        named(bare.plus(AutoAugment(table=table)), f"published_{table}"),
        named(with_policy(recipe, policy), f"found_by_{search.controller}"),
    ]
    if search.controller != "random":
        random = dataclasses.replace(
            search, controller="random", trials=None, budget_s=result.record.spent_s, epochs=None
        )
        log.note(f"random search for the same time, in {result.folder.random.path}")
        control = random.run(executor, result.folder.random.path, log=log, caller=caller)
        policy = read_table(control.folder.policy)
        arms.append(named(with_policy(recipe, policy), "found_by_random"))
    return tuple(arms)
