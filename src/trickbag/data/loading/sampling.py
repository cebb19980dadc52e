"""The order of an epoch in which rare classes are seen more often than they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["balanced_order", "require_one_class", "turns_of"]


def balanced_order(
    labels_N: NDArray[np.int64], power: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the N places of an epoch so that each class has its number of images to the `power` as its share.

    `power` 1 gives every image once, 0 as many places to each class that has an image, 0.5 is in
    between. A class has the whole number of places below or above its share, at random so that the
    mean is right. Its images take turns: none is there twice more often than another of the class
    is there once. Raises UserError where an image has not one class. Source: Kang et al. 2019
    (arXiv 1910.09217), equation 1, whose draws are independent.
    """
    require_one_class(labels_N, power)
    n = len(labels_N)
    counts = np.bincount(labels_N)
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    # Systematic sampling of the shares' fractions: one number for all classes.
    ends = np.cumsum(n * weights / weights.sum())
    ends[-1] = n
    places = np.diff(np.floor(ends + rng.random()).astype(np.int64), prepend=0)
    rows = np.split(np.argsort(labels_N, kind="stable"), np.cumsum(counts)[:-1])
    chosen = [
        np.concatenate([rng.permutation(of_class) for _ in range(-(-number // len(of_class)))])[
            :number
        ]
        for of_class, number in zip(rows, places, strict=True)
        if number
    ]
    return rng.permutation(np.concatenate(chosen)).astype(np.int64)


def require_one_class(labels_N: NDArray[np.int64], power: float) -> None:
    """Raise UserError where images have several labels each, and classes are to be balanced all the
    same."""
    if power != 1 and labels_N.ndim != 1:
        raise UserError(
            f"data.class_power = {power:g}: the images have several labels each, so no class to "
            f"balance by; "
            "set it to 1 (--without balanced_sampling)"
        )


def turns_of(order_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each place of an order how often its row has been there before, from 0."""
    by_row = np.argsort(order_N, kind="stable")
    ordered = order_N[by_row]
    place = np.arange(len(order_N))
    first = np.maximum.accumulate(np.where(np.diff(ordered, prepend=-1) != 0, place, 0))
    turns = np.empty(len(order_N), np.int64)
    turns[by_row] = place - first
    return turns
