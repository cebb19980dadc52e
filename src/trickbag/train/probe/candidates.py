"""A value that a probe's setting could have, and how one was chosen; no torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Candidate", "ChosenBy"]

ChosenBy = Literal["given", "validation", "cross_validation", "leave_one_out"]
"""How a setting was chosen.

given: by the recipe. validation: on the validation part. cross_validation, leave_one_out: within
the training part.
"""


class Candidate(NamedTuple):
    """A value, and its score: a loss in nats, or top-1 or mAP in percent."""

    value: float
    score: float
