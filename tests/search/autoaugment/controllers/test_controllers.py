"""Controllers: equal seeds suggest equal policies, and what learns beats random search."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.builders.marks import long
from tests.search.autoaugment.rewards import HIDDEN, REWARDS, agreement, best_of
from trickbag.errors import UserError
from trickbag.search.autoaugment.controllers import NAMES, ControllerName, create
from trickbag.search.autoaugment.space import decode, encode

if TYPE_CHECKING:
    from trickbag.search.autoaugment.space import Policy
    from trickbag.search.controller import Controller

LEARNING: list[ControllerName] = ["density", "ppo"]


def suggestions(name: ControllerName, batches: int, seed: int = 0) -> list[list[Policy]]:
    """Return the suggestions of some batches; a trial of each batch fails."""
    controller = create(name, seed=seed, batch=6)
    suggestions = []
    for _ in range(batches):
        suggestions.append(controller.suggest())
        rewards = [agreement(policy) for policy in suggestions[-1]]
        controller.tell([None, *rewards[1:]])
    return suggestions


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_suggest_equal_policies(name: ControllerName) -> None:
    first = suggestions(name, 3)
    # A search that was killed tells a new controller its stored rewards: so does this one.
    assert first[:2] == suggestions(name, 2)
    assert all(len(batch) == 6 for batch in first)
    # Policies of the space, each another one.
    policies = list(itertools.chain(*first))
    assert all(decode(encode(policy)) == policy for policy in policies)
    assert len(set(policies)) == len(policies)
    other = suggestions(name, 1, seed=1)[0]
    assert not set(other) & set(first[0])


@pytest.mark.parametrize("name", LEARNING)
def test_suggestions_depend_on_the_rewards(name: ControllerName) -> None:
    batches = []
    for sign in (1, -1):
        controller = create(name, seed=0, batch=20)
        controller.tell([sign * agreement(policy) for policy in controller.suggest()])
        batches.append(controller.suggest())
    assert batches[0] != batches[1]


@pytest.mark.parametrize("name", NAMES)
def test_trials_that_fail_and_a_search_that_ends_within_a_batch(name: ControllerName) -> None:
    controller = create(name, seed=0, batch=4)
    for rewards in ([None] * 4, [0.5] * 4, [None, 0.5, 0.25, None], [0.5, 0.5]):
        assert len(controller.suggest()) == 4
        controller.tell(rewards)
    assert len(controller.suggest()) == 4


@pytest.mark.parametrize("reward", REWARDS)
def test_the_hidden_policy_is_the_best(reward: str) -> None:
    assert REWARDS[reward](HIDDEN) == 1.0
    rng = np.random.default_rng(0)
    for _ in range(20):
        decisions = list(encode(HIDDEN))
        decisions[3 * rng.integers(10)] = 14
        assert REWARDS[reward](decode(decisions)) < 1.0 or decode(decisions) == HIDDEN


def best_rewards(name: ControllerName, reward: str, trials: int, seeds: int) -> list[float]:
    controllers = (create(name, seed=seed, batch=10) for seed in range(seeds))
    return [best_of(controller, REWARDS[reward], trials) for controller in controllers]


def test_ppo_beats_random_search_at_equal_trials() -> None:
    best, control = (best_rewards(name, "agreement", 100, 1) for name in ("ppo", "random"))
    assert min(best) > max(control)


@pytest.mark.slow
@pytest.mark.parametrize(
    "reward", [name if name == "interaction" else long(name) for name in REWARDS]
)
@pytest.mark.parametrize("name", LEARNING)
def test_each_beats_random_search_at_equal_trials(name: ControllerName, reward: str) -> None:
    best = best_rewards(name, reward, 200, 5)
    control = best_rewards("random", reward, 200, 5)
    assert np.median(best) > max(control)
    assert sum(a > b for a, b in zip(best, control, strict=True)) >= 4


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"needs optuna: pip install trickbag\[search\]"):
        create("density", seed=0, batch=4)
    controllers: list[Controller[Policy]] = [
        create("ppo", seed=0, batch=2),
        create("random", seed=0, batch=2),
    ]
    assert all(len(controller.suggest()) == 2 for controller in controllers)
