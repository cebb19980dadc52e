"""What a search found against what one would have without it: a study with paired seeds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trickbag.study.designs.recipes import Recipes
from trickbag.study.log import choose_study_log
from trickbag.study.study import Study
from trickbag.train.folder.caller import PYTHON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.recipe import Recipe
    from trickbag.search.folder import SearchFolder
    from trickbag.study.executors import Executor
    from trickbag.study.findings import Findings
    from trickbag.study.log import StudyLog
    from trickbag.train.folder.caller import Caller

__all__ = ["compare_recipes", "named"]


def named(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe under another name: the label of its arm."""
    return dataclasses.replace(recipe, name=name)


def compare_recipes(
    recipes: Sequence[Recipe],
    folder: SearchFolder,
    executor: Executor,
    *,
    seeds: int,
    log: StudyLog | None = None,
    command: str = "",
    caller: Caller = PYTHON,
) -> Findings:
    """Study recipes on the whole data, each against the first, in the folder of a search.

    Here the validation part, which no trial of the search has seen, judges for the first time. The
    same call goes on where another was stopped.
    """
    first, *others = recipes
    study = Study(recipe=first, design=Recipes(others=tuple(others)), seeds=seeds)
    return study.run(
        executor,
        folder.comparison.path,
        log=log or choose_study_log(),
        command=command,
        caller=caller,
    )
