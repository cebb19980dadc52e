"""The space of policies: 5 sub-policies of 2 steps, each with probability and magnitude.

Source: Cubuk et al. 2018, arXiv 1805.09501, section 3. Of its 16 operations SamplePairing is left
out: it mixes two images, which is the work of another kind of trick.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trickbag.data.policies.magnitudes import RANGES, Operation, Span
from trickbag.data.policies.policies import Step, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

__all__ = [
    "MAGNITUDES",
    "OPERATIONS",
    "PROBABILITIES",
    "SIZE",
    "SIZES",
    "STEPS",
    "SUB_POLICIES",
    "Decisions",
    "Policy",
    "decode",
    "draw",
    "encode",
    "joined",
]

OPERATIONS: tuple[Operation, ...] = (
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "auto_contrast",
    "invert",
    "equalize",
    "solarize",
    "posterize",
    "contrast",
    "color",
    "brightness",
    "sharpness",
    "cutout",
)
"""The operations of the space, in the order of the paper's Table 6."""

PROBABILITIES = 11
"""Probabilities 0, 0.1, ..., 1."""

MAGNITUDES = 10
"""Magnitudes 0 to 9, shares of the ranges `standard`."""

SUB_POLICIES, STEPS = 5, 2

SIZES: tuple[int, ...] = (len(OPERATIONS), PROBABILITIES, MAGNITUDES) * (SUB_POLICIES * STEPS)
"""The number of choices of each of the 30 decisions: operation, probability, magnitude, ..."""

SIZE = math.prod(SIZES)
"""The number of sequences of decisions, about 1.5e32; the paper, with 16 operations, has 2.9e32.

Some of them are one policy, as operations without a magnitude ignore it.
"""

Policy = Table
"""A policy of the space: 5 rows, the sub-policies, of 2 steps each."""

Decisions = tuple[int, ...]
"""A policy as 30 integers, each below its number of choices in `SIZES`."""

_WITHOUT_MAGNITUDE = frozenset(name for name in OPERATIONS if RANGES["standard"][name] == Span())


def decode(decisions: Sequence[int]) -> Policy:
    """Return the policy of 30 decisions. Operations without a magnitude have 0 in it."""
    if len(decisions) != len(SIZES) or any(
        not 0 <= choice < size for choice, size in zip(decisions, SIZES, strict=False)
    ):
        raise ValueError(f"{list(decisions)} are no decisions of the space {SIZES}")
    steps = [_step(*decisions[i : i + 3]) for i in range(0, len(SIZES), 3)]
    return tuple(tuple(steps[i : i + STEPS]) for i in range(0, len(steps), STEPS))


def encode(policy: Policy) -> Decisions:
    """Return the decisions of a policy of the space; ValueError for another table."""
    decisions: list[int] = []
    for row in policy:
        for operation, probability, magnitude in row:
            tenths = round(probability * (PROBABILITIES - 1))
            decisions += [OPERATIONS.index(operation), tenths, magnitude]
    if decode(decisions) != policy:
        raise ValueError(f"{policy} is no policy of the space")
    return tuple(decisions)


def draw(rng: np.random.Generator) -> Policy:
    """Return a policy of uniform decisions."""
    return decode(rng.integers(SIZES).tolist())


def joined(policies: Iterable[Policy]) -> Table:
    """Return one table of the sub-policies of all policies, in their order.

    An image gets one of them at random. Source: Cubuk et al. 2018, section 4, which joins the best
    5 policies into 25 sub-policies.
    """
    return tuple(row for policy in policies for row in policy)


def _step(operation: int, probability: int, magnitude: int) -> Step:
    name = OPERATIONS[operation]
    level = 0 if name in _WITHOUT_MAGNITUDE else magnitude
    return name, probability / (PROBABILITIES - 1), level
