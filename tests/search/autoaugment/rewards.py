"""Rewards of policies that cost nothing, and whose best policy is known."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from trickbag.search.autoaugment.space import MAGNITUDES, PROBABILITIES, draw, encode
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.search.autoaugment.space import Policy
    from trickbag.search.controller import Controller

    Reward = Callable[[Policy], float]

HIDDEN = draw(stream(0, "hidden policy"))


def agreement(policy: Policy) -> float:
    """Return the share of the 30 decisions that are those of the hidden policy."""
    return float(np.mean(np.array(encode(policy)) == encode(HIDDEN)))


def interaction(policy: Policy) -> float:
    """Return the mean of the steps' rewards, in [0, 1], in which decisions depend on each other.

    A step has one only where its operation is that of the hidden policy; it is the larger, the
    nearer probability and magnitude are to those of the hidden one.
    """
    steps = np.array(encode(policy)).reshape(-1, 3)
    hidden = np.array(encode(HIDDEN)).reshape(-1, 3)
    near = 1 - np.abs(steps - hidden)[:, 1:] / (PROBABILITIES - 1, MAGNITUDES - 1)
    return float(np.mean((steps[:, 0] == hidden[:, 0]) * near.prod(axis=1)))


REWARDS = {"agreement": agreement, "interaction": interaction}


def best_of(controller: Controller[Policy], reward: Reward, trials: int) -> float:
    """Return the best reward that a controller finds in so many trials."""
    best = -np.inf
    for _ in itertools.repeat(None, trials // controller.batch):
        rewards = [reward(policy) for policy in controller.suggest()]
        controller.tell(rewards)
        best = max(best, *rewards)
    return float(best)
