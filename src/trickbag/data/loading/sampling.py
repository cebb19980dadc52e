"""The order of an epoch in which rare classes come more often than they are in the data.

Shapes: N images of a part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trickbag.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["balanced_order", "earlier_occurrences", "repeated_order", "require_one_class"]


def balanced_order(
    labels_N: NDArray[np.int64], power: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the N rows of an epoch; a class's share of them is its number of images to the `power`.

    `power` 1 gives every image once, 0 gives every class that has an image the same number of
    places. Each class has the integer number of places below or above its share, drawn so that the
    mean is right. The images of a class come equally often, with a difference of at most one.

    Raises UserError for images with several labels. Source: Kang et al. 2019 (arXiv 1910.09217),
    equation 1; their draws are independent.
    """
    require_one_class(labels_N, power)
    n = len(labels_N)
    counts = np.bincount(labels_N)
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    # Systematic sampling: one random number rounds the shares of all classes, and keeps their sum.
    ends = np.cumsum(n * weights / weights.sum())
    ends[-1] = n
    places = np.diff(np.floor(ends + rng.random()).astype(np.int64), prepend=0)
    rows_of_class = np.split(np.argsort(labels_N, kind="stable"), np.cumsum(counts)[:-1])
    drawn = []
    for rows, number in zip(rows_of_class, places, strict=True):
        if number:
            rounds = -(-number // len(rows))
            drawn.append(np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:number])
    return rng.permutation(np.concatenate(drawn)).astype(np.int64)


def require_one_class(labels_N: NDArray[np.int64], power: float) -> None:
    """Raise UserError if classes are to be balanced, but images have several labels each."""
    if power != 1 and labels_N.ndim != 1:
        raise UserError(
            f"data.class_power = {power:g}: the images have several labels each, so no class to "
            "balance by",
            "set it to 1 (--without balanced_sampling)",
        )


def repeated_order(order_N: NDArray[np.int64], repeats: int, batch_size: int) -> NDArray[np.int64]:
    """Return an order as long as `order_N` in which each of its first rows comes `repeats` times.

    These are the first ceil(N / repeats) rows. The copies of an image stand in one batch, or in two
    batches that follow each other. In a batch the copies of all its images are blocks behind each
    other, so that processes that share the batch, and its micro-batches, have different images.

    Source: Berman et al. 2019 (arXiv 1902.05509), section 3.2, for the number of images of an
    epoch; the blocks take the place of timm's `RepeatAugSampler`, whose copies go to different
    processes.
    """
    n = len(order_N)
    rows = np.repeat(order_N[: -(-n // repeats)], repeats)[:n]
    place = np.arange(n)
    return rows[np.lexsort((place, place % repeats, place // batch_size))]


def earlier_occurrences(order_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count, for each place of an order, how often its row occurs before that place."""
    by_row = np.argsort(order_N, kind="stable")
    ordered = order_N[by_row]
    place = np.arange(len(order_N))
    first_place = np.maximum.accumulate(np.where(np.diff(ordered, prepend=-1) != 0, place, 0))
    occurrences = np.empty(len(order_N), np.int64)
    occurrences[by_row] = place - first_place
    return occurrences
