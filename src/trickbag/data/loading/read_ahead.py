"""The bytes of streamed images, read ahead of the batches that need them.

Shapes: M images that are still to come in an epoch, N images of a batch.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import numpy as np

from trickbag.data.loading.streamed_order import BUFFER
from trickbag.data.loading.workers import POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.data.loading.streamed_order import StreamedOrder
    from trickbag.data.sources.webdataset.part import ShardPart

__all__ = ["ReadAhead"]

_THREADS = 4
"""Groups that are read at the same time: most of the time of one is spent waiting."""


class ReadAhead:
    """Reads the groups of an order in threads, in the order in which they are needed.

    `order` has what is still to come for this process alone. At most `limit` images are in memory,
    or more where one batch needs more: those of the buffer that is used, and those of the next.
    """

    def __init__(
        self,
        part: ShardPart,
        order: StreamedOrder,
        waiting: Callable[[], None],
        *,
        limit: int = 2 * BUFFER,
    ) -> None:
        self._part, self._waiting, self._limit = part, waiting, limit
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shards")
        names, firsts = np.unique(order.groups, return_index=True)
        ends = np.argsort(order.groups, kind="stable")
        members = np.split(ends, np.cumsum(np.bincount(order.groups)[names])[:-1])
        self._rows = {
            int(name): order.rows[places] for name, places in zip(names, members, strict=True)
        }
        self._next = [int(name) for name in names[np.argsort(firsts)]][::-1]
        self._groups: dict[int, Future[dict[int, bytes | str]]] = {}
        self._left = Counter({name: len(rows) for name, rows in self._rows.items()})
        self._held = 0

    def take(
        self, rows_N: NDArray[np.int64], groups_N: NDArray[np.int64]
    ) -> tuple[bytes | str, ...]:
        """Return the bytes of the next images of the order, of one that cannot be read the reason.

        Raises RunFailed if it is the process or the network that cannot.
        """
        needed = set(groups_N.tolist()) - self._groups.keys()
        while self._next and (needed or self._held < self._limit):
            group = self._next[-1]
            if not needed and self._held + len(self._rows[group]) > self._limit:
                break
            self._next.pop()
            needed.discard(group)
            rows = self._rows.pop(group)
            self._held += len(rows)
            self._groups[group] = self._pool.submit(self._part.read_rows, rows)
        taken = []
        for row, group in zip(rows_N.tolist(), groups_N.tolist(), strict=True):
            taken.append(self._content(group).pop(row))
            self._left[group] -= 1
            if not self._left[group]:
                del self._groups[group]
        self._held -= len(taken)
        return tuple(taken)

    def _content(self, group: int) -> dict[int, bytes | str]:
        future = self._groups[group]
        while True:
            try:
                return future.result(timeout=POLL_S)
            except TimeoutError:
                # A library's own error of this kind is the end; else the group is not read yet.
                if future.done():
                    raise
                self._waiting()

    def close(self) -> None:
        """End the reading; what is read at the moment is read to its end and dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._groups.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
