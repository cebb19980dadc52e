"""Batches of crops: the same ones bit for bit, whatever the number of workers and wherever a run is taken up.

Shapes: N images of a batch, S pixels of the network's input, M other networks, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.crops import crop_scale, planes, random_crop_box
from trickbag.data.loading.sampling import balanced_order, turns_of
from trickbag.data.loading.workers import (
    POLL_S,
    apart_from_main,
    enter_worker,
    feeders_of,
    shielded_start,
    worker_death,
)
from trickbag.errors import RunFailed
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image

    from trickbag.data.config import DataConfig
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.source import Part
    from trickbag.data.teacher_logits import TeacherLogits

__all__ = ["CACHE_LIMIT", "Loader", "RawBatch", "default_workers", "share_of"]

CACHE_LIMIT = 512 * 2**20
"""The most bytes of evaluation crops that a loader keeps in memory."""


class RawBatch(NamedTuple):
    """A batch as the processor hands it over.

    images: (N, 3, S, S) uint8; (N, V, 3, S, S) in training where `data.views` is not 0, the crop as
    it is before its other views. labels: (N,) int64; (N, K) of 0 and 1 for several labels an image.
    index: (N,) int64 place in the part. valid: (N,) bool, False for an image that could not be
    decoded: its row is zeros and must count nothing. teacher_logits: (N, M, K) float32 logits that
    other networks gave of these images, M = 0 where none were asked.
    """

    images: Tensor
    labels: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which nobody needs here
    valid: Tensor
    teacher_logits: Tensor = torch.empty(0, 0, 0)


class _Job(NamedTuple):
    """The rows of a batch; `turns` says of each row how often the epoch has read its image before, from 0.

    `data` are those of the epoch.
    """

    epoch: int
    data: DataConfig
    rows: NDArray[np.int64]
    turns: NDArray[np.int64]
    skip: frozenset[int]


class _Made(NamedTuple):
    batch: RawBatch
    errors: tuple[tuple[int, str], ...]


class _Maker(Dataset["_Made | RunFailed"]):
    """Makes the batch of a job; a pure function of the job, in this process or a worker.

    What ends a run is given back, not raised: raised in a worker it would arrive as the text of a
    traceback.
    """

    def __init__(
        self,
        part: Part,
        preprocessing: Preprocessing,
        train: bool,
        seed: int,
        teacher_logits: TeacherLogits | None,
    ) -> None:
        self.part, self.preprocessing, self.train, self.seed = part, preprocessing, train, seed
        self.teacher_logits = teacher_logits

    def __getitem__(self, job: _Job) -> _Made | RunFailed:
        try:
            return self._made(job)
        except RunFailed as failure:
            return failure

    def _made(self, job: _Job) -> _Made:
        size = self._size(job)
        views = (1 + job.data.views,) if self.train and job.data.views else ()
        images = np.zeros((len(job.rows), *views, 3, size, size), np.uint8)
        valid = np.zeros(len(job.rows), bool)
        errors = []
        for place, (row, turn) in enumerate(
            zip(job.rows.tolist(), job.turns.tolist(), strict=True)
        ):
            if row in job.skip:
                continue
            try:
                images[place] = self._crop(job, row, turn)
                valid[place] = True
            except DecodeError as error:
                errors.append((row, str(error)))
        labels = torch.from_numpy(self.part.labels[job.rows])
        index = torch.from_numpy(job.rows)
        batch = RawBatch(
            torch.from_numpy(images), labels, index, torch.from_numpy(valid), self._answers(job)
        )
        return _Made(batch, tuple(errors))

    def _size(self, job: _Job) -> int:
        return (self.train and job.data.image_size) or self.preprocessing.image_size

    def _crop(self, job: _Job, row: int, turn: int) -> NDArray[np.uint8]:
        image = self.part.read(row)
        if not self.train:
            return self.preprocessing.crop(image)
        height, width = image.shape[:2]
        repeat = job.data.repeat_epochs
        view = job.epoch if repeat is None else job.epoch % repeat
        # Of a view that can be made again there is one crop, however often the image is read.
        purpose = f"crop {turn}" if turn and repeat is None else "crop"
        rng = stream(self.seed, purpose, view, row)
        box = random_crop_box(rng, width, height, job.data.crop_area, job.data.crop_ratio)
        shown = self._changed(crop_scale(image, box, self._size(job)), job, row, turn)
        # Otherwise mirrored on the device, where the numbers are drawn by batch.
        mirrored = (
            repeat is not None
            and stream(self.seed, "flip", view, row).random() < job.data.flip_prob
        )
        return shown[..., ::-1] if mirrored else shown

    def _changed(self, crop: Image, job: _Job, row: int, turn: int) -> NDArray[np.uint8]:
        policy = job.data.policy
        if policy is None:
            return planes(crop)
        rng = stream(self.seed, f"policy {turn}" if turn else "policy", job.epoch, row)
        if not job.data.views:
            return planes(policy(crop, rng))
        return np.stack([planes(crop), *(planes(policy(crop, rng)) for _ in range(job.data.views))])

    def _answers(self, job: _Job) -> Tensor:
        if self.teacher_logits is None:
            return torch.empty(len(job.rows), 0, 0)
        return torch.from_numpy(self.teacher_logits.logits(job.rows, job.epoch))


class _Plan(Sampler[_Job]):
    """The jobs of the epoch that runs; the workers live on from epoch to epoch, so it is set anew
    each time."""

    def __init__(self) -> None:
        self.jobs: Iterator[_Job] = iter(())

    def __iter__(self) -> Iterator[_Job]:
        return self.jobs


def _as_made(made: _Made | RunFailed) -> _Made | RunFailed:
    return made


def default_workers(part: Part, device_type: str) -> int:
    """Choose how many worker processes: none for images in memory or one core; for a GPU one a
    core, up to 16."""
    cores = usable_cores()
    if part.in_memory or cores < 2:
        return 0
    return min(cores, 16) if device_type == "cuda" else 1


def share_of(n: int, rank: int, size: int) -> slice:
    """Return the `rank`-th, from 0, of `size` parts of `n` things; they differ by one at most, the
    first are larger."""
    each, more = divmod(n, size)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


class Loader:
    """Batches of a part, epoch by epoch.

    In training the order is a permutation of each epoch's own, crops are random, and the last
    batch, if partial, is dropped; a part smaller than `batch_size` is one batch. Where
    `data.class_power` is not 1 the order has the images of rare classes several times. `repeats`
    images are read for each one of a training batch, which then has (reads * batch_size) rows: each
    block of `batch_size` follows an order of its own, the first the one that would be read alone,
    so that an epoch sees every image `repeats` times. Images have the preprocessing's size,
    whatever `data` says. An epoch may have data of its own, of which the image size, the crops, the
    policy and the sampling count. In evaluation the order is the part's, crops are the
    preprocessing's, and the last batch may be partial; with `cached` they are made once and kept,
    up to CACHE_LIMIT (do not write into them). `in_order` gives the crops of training in the order
    and the batches of evaluation. Every draw is a function of (seed, epoch, image); see
    `data.repeat_epochs` for crops that repeat. `teacher_logits` come with the images that they are
    about. `workers` None chooses as for a CPU. With `share` (rank, size) a batch has the rank-th of
    size parts of its rows alone.

    `errors` gathers the images that could not be decoded, name to reason; such an image is not
    tried again. Raises RunFailed where a worker process dies or the teacher_logits are damaged.
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
    ) -> None:
        self.part, self.preprocessing, self.train, self.seed = part, preprocessing, train, seed
        self.shuffled = train and not in_order
        self.repeats = repeats
        self.batch_size = max(1, min(batch_size, len(part)))
        wanted = default_workers(part, "cpu") if workers is None else workers
        self.workers = min(wanted, len(self))
        self.errors: dict[str, str] = {}
        self._share = share
        self._bad: frozenset[int] = frozenset()
        self._pin = pin_memory
        self._data = replace(data, image_size=preprocessing.image_size)
        self._maker = _Maker(part, preprocessing, train, seed, teacher_logits)
        self._plan = _Plan()
        self._pool: DataLoader[_Made | RunFailed] | None = None
        size = 3 * preprocessing.image_size**2 * len(part)
        self._keep = cached and not train and size <= CACHE_LIMIT
        self._kept: list[RawBatch] | None = None

    @property
    def cached(self) -> bool:
        """Whether crops are kept in memory from one epoch to the next."""
        return self._keep

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        whole, rest = divmod(len(self.part), self.batch_size)
        return whole if self.shuffled else whole + (rest > 0)

    def epoch(
        self, epoch: int, start_step: int = 0, data: DataConfig | None = None
    ) -> Iterator[RawBatch]:
        """Give the batches of an epoch, from 0, beginning with batch `start_step`; one epoch at a
        time."""
        if self._kept is not None:
            yield from self._kept[start_step:]
            return
        kept: list[RawBatch] = []
        for made in self._made(self._jobs(epoch, start_step, data or self._data)):
            if isinstance(made, RunFailed):
                raise made
            self._remember(made)
            if self._keep:
                kept.append(made.batch)
            yield made.batch
        if self._keep and start_step == 0:
            self._kept = kept
            self.close()

    def _jobs(self, epoch: int, start_step: int, data: DataConfig) -> Iterator[_Job]:
        orders = (
            [self._order(epoch, turn, data) for turn in range(self.repeats)]
            if self.shuffled
            else [self._in_order()]
        )
        for step in range(start_step, len(self)):
            batch = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows, turns = (
                np.concatenate([each[batch] for each in column])
                for column in zip(*orders, strict=True)
            )
            own = share_of(len(rows), *self._share)
            rows, turns = rows[own], turns[own]
            skip = self._bad.intersection(rows.tolist()) if self._bad else frozenset()
            yield _Job(epoch, data, rows, turns, skip)

    def _in_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.arange(len(self.part), dtype=np.int64), np.zeros(len(self.part), np.int64)

    def _order(
        self, epoch: int, turn: int, data: DataConfig
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the rows of an epoch, and say of each how often its image has been read before."""
        n, rng = len(self.part), stream(self.seed, "order", epoch, turn)
        if data.class_power == 1:
            return rng.permutation(n).astype(np.int64), np.full(n, turn)
        rows = balanced_order(self.part.labels, data.class_power, rng)
        # No two reads of an image are the same turn, whichever order they belong to.
        return rows, turn + self.repeats * turns_of(rows)

    def _remember(self, made: _Made) -> None:
        for row, reason in made.errors:
            self.errors[self.part.names[row]] = reason
        if made.errors:
            self._bad |= {row for row, _ in made.errors}

    def _made(self, jobs: Iterator[_Job]) -> Iterator[_Made | RunFailed]:
        if self.workers == 0:
            for job in jobs:
                made = self._maker[job]
                if self._pin and isinstance(made, _Made):
                    made = made._replace(batch=RawBatch(*(x.pin_memory() for x in made.batch)))
                yield made
            return
        self._plan.jobs = jobs
        try:
            if self._pool is None:
                self._pool = self._start()
                with shielded_start(), apart_from_main(self._maker):
                    running = iter(self._pool)
            else:
                running = iter(self._pool)
            yield from running
        except (RuntimeError, EOFError, OSError) as error:
            died = worker_death(
                error, getattr(getattr(self._pool, "_iterator", None), "_workers", ())
            )
            if died is None:
                raise
            self.close()
            raise died from error

    def _start(self) -> DataLoader[_Made | RunFailed]:
        # A generator of its own: the default one would be drawn from, and by that depend on the
        # number of workers.
        return DataLoader(
            self._maker,
            batch_size=None,
            sampler=self._plan,
            num_workers=self.workers,
            collate_fn=_as_made,  # type: ignore[arg-type]  # without a batch_size it gets one item, not a list
            pin_memory=self._pin,
            multiprocessing_context="spawn",
            persistent_workers=True,
            worker_init_fn=enter_worker,
            generator=torch.Generator(),
        )

    def close(self) -> None:
        """End the worker processes; a later epoch starts new ones."""
        running = getattr(self._pool, "_iterator", None)
        self._pool = None
        if running is not None:  # it would end with its last reference, which a traceback can keep
            feeders = feeders_of(getattr(running, "_index_queues", ()))
            running._shutdown_workers()
            for feeder in feeders:
                feeder.join(POLL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
