"""The settings of a probe: a classifier that is fitted on the features of a frozen network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from trickbag.ranges import Between
from trickbag.settings import Settings

__all__ = ["GRID", "Probe"]

GRID: tuple[float, ...] = tuple(10 ** (half / 2) for half in range(2, -11, -1))
"""The values of `l2` of which one is chosen: half decades from 10 down to 1e-5."""


@dataclass(frozen=True, kw_only=True)
class Probe(Settings):
    """How the classifier of a frozen network is fitted.

    - l2: the weight of the squared norm of the classifier's weights, beside the mean loss of an
      image, on standardised features. neighbours: the number of nearest neighbours that vote.
      None: chosen, on the validation part of data that have a test part, else within the training
      part.
    - folds: the parts of the training images in a cross-validation.
    """

    l2: Annotated[float, Between(1e-12, 1e6)] | None = None
    neighbours: Annotated[int, Between(1, 10_000)] | None = None
    folds: Annotated[int, Between(2, 20)] = 5
