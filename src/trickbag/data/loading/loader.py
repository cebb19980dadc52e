"""Batches of crops that depend on neither the number of workers nor where a run was resumed.

Shapes: N images of a batch, V views of an image, C channels, H and W pixels of the network's input,
M teachers, K classes.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self, cast

import numpy as np

from trickbag.data.cores import usable_cores
from trickbag.data.loading.crop_samples import CropSamples
from trickbag.data.loading.pool import LoaderPool
from trickbag.data.loading.raw_batch import BatchRequest, LoadedBatch, RawBatch
from trickbag.data.loading.sampling import balanced_order, earlier_occurrences, repeated_order
from trickbag.data.loading.streamed_order import StreamedOrder, part_order, streamed_order
from trickbag.data.loading.worker_kind import worker_kind
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.source import Part
    from trickbag.data.sources.webdataset.part import ShardPart
    from trickbag.data.teacher_logits import TeacherLogits

__all__ = ["CACHE_LIMIT", "Loader", "default_workers", "fits_cache", "share_of"]

CACHE_LIMIT = 512 * 2**20  # bytes
"""The most bytes of evaluation crops that a loader keeps in memory."""


class Samples(Protocol):
    """What loads batches: a pure function of a request, that can be pickled for a worker."""

    def load(self, request: BatchRequest, alive: Callable[[], None]) -> LoadedBatch:
        """Load a batch; `alive` is called after each image."""


def _samples(
    part: Part,
    preprocessing: Preprocessing,
    train: bool,
    seed: int,
    teacher_logits: TeacherLogits | None,
    *,
    channels_last: bool,
) -> Samples:
    """Return what loads the batches of a part, by what is annotated in its images."""
    if part.annotations == "boxes":
        from trickbag.data.loading.box_samples import BoxSamples

        return BoxSamples(part, preprocessing, train=train, seed=seed)
    if part.annotations == "masks":
        from trickbag.data.loading.mask_samples import MaskSamples

        return MaskSamples(part, preprocessing, train=train, seed=seed)
    return CropSamples(part, preprocessing, train, seed, teacher_logits, channels_last)


def _nothing() -> None:
    pass


def default_workers(part: Part, device_type: str) -> int:
    """Choose the number of workers.

    It is 0 for images in memory, and with a single core. Otherwise it is 1 for a CPU, and for a GPU
    the number of usable cores, up to 16.
    """
    cores = usable_cores()
    if part.in_memory or cores < 2:
        return 0
    return 1 if device_type == "cpu" else min(cores, 16)


def share_of(n: int, rank: int, size: int) -> slice:
    """Return the `rank`-th, from 0, of `size` consecutive parts of `n` things.

    Their lengths differ by at most one; the first parts are the longer ones.
    """
    each, more = divmod(n, size)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def fits_cache(loader: Loader, images: int | None = None) -> bool:
    """Tell whether so many images, by default those of the loader, fit into CACHE_LIMIT.

    They count as those that were loaded in the mean, so that a part that is too large is known to
    be from the first batch on, and not when the memory is full.
    """
    number = len(loader.part) if images is None else images
    return loader.image_bytes * number <= CACHE_LIMIT


class Loader:
    """Batches of a part, epoch by epoch.

    Every draw is a function of (seed, epoch, image), see `data.repeat_epochs` for crops that
    repeat. Images have the preprocessing's size, whatever `data` says; an epoch may have data of
    its own, of which the image size, the crops, the policy and the sampling count.

    Training (`train`): each epoch has a permutation of its own, crops are random, and a partial
    last batch is dropped; a part smaller than `batch_size` is one batch. If `data.class_power` is
    not 1, images of rare classes come several times; with `data.augmentation_repeats` a part of the
    images comes several times (`repeated_order`). With `in_order` the crops are those of
    training, the order and the batches those of evaluation.

    Images that are streamed have the order of `streamed_order`, and their bytes are read ahead by
    this process, in which the requests are made.

    Evaluation: the order is the part's, crops are the preprocessing's, and the last batch may be
    partial. With `cached` the batches are kept after the first epoch, all that is in them up to
    CACHE_LIMIT; do not write into them.

    repeats: a training batch has `repeats` blocks of `batch_size` rows. Each block follows an order
    of its own, the first the one of `repeats` = 1, so that an epoch has every image `repeats`
    times. workers: None chooses as for a CPU; `data.worker_kind` says of which kind they are, by
    default `worker_kind`. teacher_logits: logits that come with their images. channels_last: the
    channels of a pixel lie behind each other in memory, where images have classes and one view.
    share: (rank, size); a batch then has only the rank-th of `size` parts of its rows.

    The attribute `cached` says whether the batches are kept: it becomes False where they are too
    large. `image_bytes` is the mean size of an image with all that comes with it, in bytes, in the
    epoch that was loaded last. `errors` collects the images
    that could not be decoded, name to reason; such an image is not tried again.

    Raises RunFailed if a worker cannot start, dies or is silent for minutes, if its memory runs
    out, or if the teacher logits are damaged.
    """

    def __init__(
        self,
        part: Part,
        data: DataConfig,
        preprocessing: Preprocessing,
        *,
        train: bool,
        batch_size: int,
        seed: int = 0,
        repeats: int = 1,
        workers: int | None = None,
        pin_memory: bool = False,
        cached: bool = False,
        in_order: bool = False,
        teacher_logits: TeacherLogits | None = None,
        share: tuple[int, int] = (0, 1),
        channels_last: bool = False,
    ) -> None:
        self.part, self.seed = part, seed
        self.shuffled = train and not in_order
        self.repeats = repeats
        self.batch_size = max(1, min(batch_size, len(part)))
        # A worker without a batch to load would be started for nothing.
        self.workers = min(default_workers(part, "cpu") if workers is None else workers, len(self))
        self.worker_kind = data.worker_kind or worker_kind(part, data, self.workers, train=train)
        self.errors: dict[str, str] = {}
        self._share = share
        # A part of a script of its own may have nothing but images and labels.
        self._is_streamed = bool(getattr(part, "is_streamed", False))
        self._bad: frozenset[int] = frozenset()
        self._decoded = np.zeros(len(part), bool)
        self._pin = pin_memory
        self._data = replace(data, image_size=preprocessing.image_size)
        self._channels_last = channels_last and part.annotations == "classes" and not data.views
        self._source = _samples(
            part, preprocessing, train, seed, teacher_logits, channels_last=self._channels_last
        )
        self._pool: LoaderPool | None = None
        self.cached = cached and not train
        self.image_bytes = 0.0
        self._cache: list[RawBatch] | None = None

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        full, rest = divmod(len(self.part), self.batch_size)
        return full if self.shuffled else full + (rest > 0)

    def epoch(
        self,
        epoch: int,
        start_step: int = 0,
        data: DataConfig | None = None,
        *,
        waiting: Callable[[], None] = _nothing,
    ) -> Iterator[RawBatch]:
        """Yield the batches of an epoch, from 0, beginning with batch `start_step`.

        `waiting` is called about twice a second while a worker is waited for; what it raises ends
        the wait. Only one epoch can run at a time.
        """
        if self._cache is not None:
            yield from self._cache[start_step:]
            return
        batches: list[RawBatch] = []
        images = size = 0
        with ExitStack() as held:
            requests = self._requests(epoch, start_step, data or self._data)
            if self._is_streamed:
                requests = self._streamed(requests, epoch, start_step, waiting, held)
            for loaded in map(self._channels_first, self._loaded(requests, waiting)):
                self._note_rows(loaded)
                images += len(loaded.batch.index)
                size += loaded.batch.nbytes
                self.image_bytes = size / images
                if self.cached and not fits_cache(self):
                    self.cached = False
                    batches.clear()
                if self.cached:
                    batches.append(loaded.batch)
                yield loaded.batch
        if self.cached and start_step == 0:
            self._cache = batches
            self.close()

    def _requests(self, epoch: int, start_step: int, data: DataConfig) -> Iterator[BatchRequest]:
        orders = (
            [self._shuffled_order(epoch, repeat, data) for repeat in range(self.repeats)]
            if self.shuffled
            else [self._part_order()]
        )
        for step in range(start_step, len(self)):
            batch = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = np.concatenate([order[batch] for order, _ in orders])
            occurrences = np.concatenate([counts[batch] for _, counts in orders])
            share = share_of(len(rows), *self._share)
            rows, occurrences = rows[share], occurrences[share]
            skip = self._bad.intersection(rows.tolist()) if self._bad else frozenset()
            yield BatchRequest(epoch, data, rows, occurrences, skip, self._decoded[rows])

    def _streamed(
        self,
        requests: Iterator[BatchRequest],
        epoch: int,
        start_step: int,
        waiting: Callable[[], None],
        held: ExitStack,
    ) -> Iterator[BatchRequest]:
        """Yield the requests with the bytes of their images, which are read ahead until the end."""
        from trickbag.data.loading.read_ahead import ReadAhead

        repeats = range(self.repeats if self.shuffled else 1)
        orders = [self._streamed_order(epoch, repeat) for repeat in repeats]
        # Of two repeats an image is read twice, as it is needed at two times.
        counts = [int(order.groups.max(initial=-1)) + 1 for order in orders]
        firsts = np.cumsum([0, *counts[:-1]])
        steps = []
        for step in range(start_step, len(self)):
            batch = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = [order.rows[batch] for order in orders]
            groups = [
                order.groups[batch] + first for order, first in zip(orders, firsts, strict=True)
            ]
            share = share_of(sum(map(len, rows)), *self._share)
            steps.append(StreamedOrder(np.concatenate(rows)[share], np.concatenate(groups)[share]))
        if not steps:
            return
        coming = StreamedOrder(*(np.concatenate(parts) for parts in zip(*steps, strict=True)))
        ahead = held.enter_context(ReadAhead(cast("ShardPart", self.part), coming, waiting))
        for request, order in zip(requests, steps, strict=True):
            yield request._replace(encoded=ahead.take(request.rows, order.groups))

    def _streamed_order(self, epoch: int, repeat: int) -> StreamedOrder:
        """Return the rows of one block of an epoch, with the groups in which they are read."""
        if not self.shuffled:
            return part_order(len(self.part))
        places = cast("ShardPart", self.part).places
        return streamed_order(places, self.batch_size, stream(self.seed, "order", epoch, repeat))

    def _part_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.arange(len(self.part), dtype=np.int64), np.zeros(len(self.part), np.int64)

    def _shuffled_order(
        self, epoch: int, repeat: int, data: DataConfig
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the rows of one block of an epoch; return them and their occurrences."""
        if self._is_streamed:
            rows = self._streamed_order(epoch, repeat).rows
            return rows, np.full(len(rows), repeat)
        n, rng = len(self.part), stream(self.seed, "order", epoch, repeat)
        is_balanced = data.class_power != 1
        if not is_balanced and data.augmentation_repeats == 1:
            return rng.permutation(n).astype(np.int64), np.full(n, repeat)
        rows = (
            balanced_order(self.part.labels, data.class_power, rng)
            if is_balanced
            else rng.permutation(n).astype(np.int64)
        )
        if data.augmentation_repeats > 1:
            rows = repeated_order(rows, data.augmentation_repeats, self.batch_size)
        # Interleaved, so that no two occurrences of an image have the same number: each number
        # means a crop of its own.
        return rows, repeat + self.repeats * earlier_occurrences(rows)

    def _note_rows(self, loaded: LoadedBatch) -> None:
        self._decoded[loaded.batch.index[loaded.batch.valid].numpy()] = True
        for row, reason in loaded.errors:
            self.errors[self.part.names[row]] = reason
        if loaded.errors:
            self._bad |= {row for row, _ in loaded.errors}

    def _loaded(
        self, requests: Iterator[BatchRequest], waiting: Callable[[], None]
    ) -> Iterator[LoadedBatch]:
        if self.workers == 0:
            yield from map(self._load_in_process, requests)
            return
        if self._pool is None:
            self._pool = LoaderPool(
                self._source, self.workers, kind=self.worker_kind, pin_memory=self._pin
            )
        try:
            for tensors, errors in self._pool.batches(requests, waiting):
                yield LoadedBatch(RawBatch(*tensors), errors)
        except Exception:
            self.close()
            raise

    def _channels_first(self, loaded: LoadedBatch) -> LoadedBatch:
        """Return a batch whose images are (N, C, H, W), as they lie in memory."""
        if not self._channels_last:
            return loaded
        images = loaded.batch.images.permute(0, 3, 1, 2)
        return loaded._replace(batch=loaded.batch._replace(images=images))

    def _load_in_process(self, request: BatchRequest) -> LoadedBatch:
        loaded = self._source.load(request, _nothing)
        if self._pin:
            pinned = RawBatch(*(tensor.pin_memory() for tensor in loaded.batch))
            return loaded._replace(batch=pinned)
        return loaded

    def close(self) -> None:
        """End the workers; a later epoch starts new ones."""
        pool, self._pool = self._pool, None
        # Ended here: otherwise they end with their last reference, which a traceback can keep.
        if pool is not None:
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
