"""The order of an epoch of shards that are read in sequence: shuffled by shard and buffer.

Shapes: N images of a part, M of an epoch, B of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BUFFER", "LANES", "StreamedOrder", "part_order", "streamed_order"]

LANES = 8
"""The places from which an epoch is read at the same time: as many shards are mixed in a batch."""

BUFFER = 2048
"""The images among which the order is random, of all lanes together."""


class StreamedOrder(NamedTuple):
    """The rows (M,) of a part in the order of an epoch, and the group (M,) in which each is read.

    The images of a group lie one behind the other in their shards.
    """

    rows: NDArray[np.int64]
    groups: NDArray[np.int64]


def streamed_order(
    places_N2: NDArray[np.int64],
    batch_size: int,
    rng: np.random.Generator,
    *,
    lanes: int = LANES,
    buffer: int = BUFFER,
) -> StreamedOrder:
    """Draw the order of the full batches of an epoch; every image comes at most once.

    places: the shard of each image, and where in it the image begins. The shards are put in random
    order, one behind the other, and that line of images is cut into lanes of consecutive images.
    Each batch has as many images of each lane, at places of its own: a process that has a part of
    the rows of every batch needs some of the lanes alone. In a lane the order is random among the
    images of one buffer. What does not fill a batch, at the end of the line, is left out: other
    images in another epoch. Neither processes nor workers have a part in this.
    """
    number, steps = len(places_N2), len(places_N2) // batch_size
    shards, shard_N = np.unique(places_N2[:, 0], return_inverse=True)
    turn_N = rng.permutation(len(shards))[shard_N.reshape(-1)]
    line = np.lexsort((np.arange(number), places_N2[:, 1], turn_N))
    rows = np.empty((steps, batch_size), np.int64)
    groups = np.empty((steps, batch_size), np.int64)
    start = first = column = 0
    each, more = divmod(batch_size, lanes)
    for lane in range(lanes):
        quota = each + (lane < more)
        if not quota:
            break
        length = quota * steps
        # Of whole batches, so that a process needs no images of a group but its own.
        windows = np.arange(length) // (quota * max(1, buffer // batch_size))
        shuffled = np.lexsort((rng.random(length), windows))
        columns = slice(column, column + quota)
        rows[:, columns] = line[start : start + length][shuffled].reshape(steps, quota)
        groups[:, columns] = (first + windows[shuffled]).reshape(steps, quota)
        start, column = start + length, column + quota
        first += int(windows[-1]) + 1
    return StreamedOrder(rows.reshape(-1), groups.reshape(-1))


def part_order(number: int, *, buffer: int = BUFFER) -> StreamedOrder:
    """Return the rows of a part in their order, in groups of consecutive ones."""
    rows = np.arange(number, dtype=np.int64)
    return StreamedOrder(rows, rows // buffer)
