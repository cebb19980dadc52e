"""The search for a policy, from end to end on real images, by each controller."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trickbag as tb
from tests.builders.marks import long
from tests.builders.recipes import tiny_recipe
from tests.builders.studies import LimitedExecutor
from trickbag.errors import DoesNotApply, Stopped, UserError
from trickbag.recipe import trick_from_text
from trickbag.search.autoaugment.controllers import ControllerName
from trickbag.search.autoaugment.search import AutoAugmentSearch
from trickbag.search.autoaugment.space import decode, draw
from trickbag.search.autoaugment.trials import JOINED, Suggested, best_of_folds
from trickbag.search.log import SearchLog
from trickbag.search.objective import SearchCandidate
from trickbag.search.search import SearchResult
from trickbag.streams import stream
from trickbag.study.trial import Trial
from trickbag.tricks.auto_augment import AutoAugment
from trickbag.tricks.rand_augment import RandAugment

CONTROLLERS: tuple[ControllerName, ...] = get_args(ControllerName)
TRIALS = {"density": 32, "ppo": 9, "random": 9}
"""More than a batch: what a controller learns from the first one counts."""


def policy_search(pictures: Path, controller: ControllerName, **changes: Any) -> AutoAugmentSearch:
    recipe = tiny_recipe(pictures, epochs=1).plus(RandAugment())
    given: dict[str, Any] = {"trials": TRIALS[controller], "folds": 2} | changes
    return AutoAugmentSearch(recipe=recipe, controller=controller, **given)


def run(
    search: AutoAugmentSearch, out: Path, executor: LimitedExecutor | None = None
) -> SearchResult:
    return search.run(executor or LimitedExecutor(), out, log=SearchLog())


@pytest.mark.slow
@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_search_leaves_a_policy_that_trains(
    pictures: Path, tmp_path: Path, controller: ControllerName
) -> None:
    search = policy_search(pictures, controller)
    result = run(search, tmp_path / "search")
    assert len(result.candidates) == TRIALS[controller]
    policy = json.loads((tmp_path / "search" / "policy.json").read_text())
    assert len(policy["table"]) == 5 * JOINED
    facts = policy["found_by"]
    assert (facts["controller"], facts["policies"]) == (controller, TRIALS[controller])
    folds = [row["fold"] for row in facts["joined"]]
    assert sorted(folds) == ([0, 0, 0, 1, 1] if controller == "density" else [0] * 5)
    trained = [path.parent.name for path in tmp_path.glob("search/trials/*/recipe.json")]
    assert len(trained) == (2 if controller == "density" else TRIALS[controller])
    recipe = tiny_recipe(pictures, epochs=1).plus(
        trick_from_text(f"auto_augment:policy={tmp_path / 'search' / 'policy.json'}")
    )
    result = tb.fit(recipe, seed=0, out=tmp_path / "run")
    assert result.status == "finished"
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert stored["tricks"]["auto_augment"]["policy"] == policy["table"]
    assert "policy.json" not in json.dumps(stored)


@pytest.mark.slow
def test_the_policy_of_the_recipe_is_left_out_of_the_trials(pictures: Path, tmp_path: Path) -> None:
    search = policy_search(pictures, "density")
    result = run(replace(search, trials=16), tmp_path)
    names = {trick.name for trick in result.candidates[0].trial.recipe.tricks}
    assert names == {t.name for t in search.recipe.tricks} - {"rand_augment"} | {"auto_augment"}
    for folder in (tmp_path / "trials").iterdir():
        stored = json.loads((folder / "recipe.json").read_text())
        assert not {"rand_augment", "auto_augment"} & stored["tricks"].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "controller", ["ppo", *map(long, (name for name in CONTROLLERS if name != "ppo"))]
)
def test_a_stopped_search_goes_on_to_the_same_policy(
    pictures: Path, tmp_path: Path, controller: ControllerName
) -> None:
    search = policy_search(pictures, controller)
    reference = run(search, tmp_path / "whole")
    for limit in (1, 5):
        out = tmp_path / str(limit)
        with pytest.raises(Stopped):
            run(search, out, LimitedExecutor(limit))
        rest = run(search, out)
        assert [c.reward for c in rest.candidates] == [c.reward for c in reference.candidates]
        policy = (tmp_path / "whole" / "policy.json").read_bytes()
        assert (out / "policy.json").read_bytes() == policy


def candidate(
    number: int, fold: int, reward: float | None, policy: int
) -> SearchCandidate[Suggested]:
    trial = Trial(id=str(number), label="", model="", recipe=tb.recipes.small(), seed=0)
    suggested = Suggested(draw(stream(policy, "test policies")), fold)
    return SearchCandidate(number=number, suggestion=suggested, trial=trial, reward=reward)


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.none() | st.floats(-9, 9), st.integers(0, 6)), max_size=24
)


@given(rows=ROWS)
@settings(deadline=None, max_examples=50)
def test_the_best_are_those_of_every_fold_in_turn(
    rows: Sequence[tuple[int, float | None, int]],
) -> None:
    candidates = [candidate(i, *row) for i, row in enumerate(rows)]
    best = best_of_folds(candidates, 3)
    assert len(best) <= JOINED
    policies = [c.suggestion.policy for c in best]
    assert len(set(policies)) == len(policies)
    assert all(c.reward is not None for c in best)
    chosen = {c.number for c in best}
    for fold in range(3):
        taken = [c for c in best if c.suggestion.fold == fold]
        rewards = [c.reward or 0.0 for c in taken]
        assert rewards == sorted(rewards, reverse=True)
        left = [
            c
            for c in candidates
            if c.suggestion.fold == fold
            and c.reward is not None
            and c.number not in chosen
            and c.suggestion.policy not in policies
        ]
        # What was left out of a fold is not better than what was taken of it.
        assert not (taken and left) or max(c.reward or 0.0 for c in left) <= rewards[-1]


def test_an_unknown_controller_is_refused(pictures: Path) -> None:
    with pytest.raises(UserError, match=r"controller = 'grid': must be one of density, ppo"):
        replace(policy_search(pictures, "random"), controller="grid")  # type: ignore[arg-type]


def test_a_recipe_of_grey_images_is_refused_before_a_trial(pictures: Path, tmp_path: Path) -> None:
    search = policy_search(pictures, "random")
    grey = replace(search, recipe=search.recipe.set("data.channels", "0"))
    executor = LimitedExecutor()
    with pytest.raises(DoesNotApply, match="channel"):
        run(grey, tmp_path, executor)
    assert executor.ran == []


def test_a_policy_of_the_space_is_one_of_the_trick() -> None:
    assert AutoAugment(policy=decode([0] * 30)).policy == decode([0] * 30)
