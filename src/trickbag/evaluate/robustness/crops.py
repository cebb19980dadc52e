"""The crops of the images that a network is evaluated on, each image read once.

Shapes: N images of a batch, K classes, C channels, H and W pixels.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from trickbag.data.loading.loader import Loader, default_workers
from trickbag.data.source import DataError
from trickbag.errors import Note, UserError
from trickbag.evaluate.evaluation import require_mostly_read
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.selection import select
from trickbag.train.loaders import evaluation_loader
from trickbag.train.machine.isolation import isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.evaluate.record import EvaluationKind
    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.bootstrap import Interval

__all__ = ["CropBatch", "Crops"]


class CropBatch(NamedTuple):
    """Crops of images that could be read, on the CPU.

    images: (N, C, H, W) uint8. labels: (N,) int64, or (N, K) with several labels an image. index:
    (N,) int64 rows of the part; an image has the same row whatever `limit` leaves of the part.
    """

    images: Tensor
    labels: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which is not needed


class Crops:
    """The crops of the images of a part, batch by batch, in the order of the part.

    Use it as a context manager: within the block torch computes with the threads of the run and a
    random state of its own, as `evaluate` does, and workers end with it. `images`,
    `left_out` and `notes` count what `batches` has read.

    `evaluate.selection.select` says which images these are; with `limit` at most so many of them,
    spread over the part. `preprocessing` is by default that of the run. `progress(done, total)` is
    called while files are checked. Raises UserError if the data cannot be used.
    """

    def __init__(
        self,
        trained: Trained,
        *,
        data: str | None = None,
        image_root: str | tuple[str, ...] | None = None,
        part: str | None = None,
        limit: int | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        preprocessing: Preprocessing | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if trained.preprocessing.packed:
            raise UserError(
                "this average of networks has other crops of an image for each of its views",
                "give networks of one preprocessing, without test-time augmentation but flip",
            )
        self.trained = trained
        self.selection = select(
            trained, data=data, image_root=image_root, part=part, progress=progress
        )
        chosen = self.selection.part
        self._rows = np.arange(len(chosen))
        if limit is not None and len(chosen) > limit:
            # Spread: the images of a folder are in the order of their classes.
            self._rows = np.linspace(0, len(chosen) - 1, limit).astype(np.int64)
            chosen = chosen.subset(self._rows)
        self.part, self.images = chosen, 0
        device = trained.device.type
        self._loader: Loader = evaluation_loader(
            chosen,
            self.selection.data,
            preprocessing or trained.preprocessing,
            batch_size=batch_size or trained.batch_size,
            workers=default_workers(chosen, device) if workers is None else workers,
            device=device,
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._loader)
        trained = self.trained
        # As many threads as the run had: another number gives other last bits.
        threads = torch.get_num_threads() if trained.plan is None else trained.plan.threads
        self._stack.enter_context(isolated(threads, trained.device.type))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        """Count the images that are to be read."""
        return len(self.part)

    def batches(self) -> Iterator[CropBatch]:
        """Yield the crops; each call reads the images anew.

        Raises RunFailed if more than `data.max_bad_fraction` of the images cannot be read.
        """
        self.images = 0
        for raw in self._loader.epoch(0):
            index = torch.from_numpy(self._rows)[raw.index]
            if not raw.valid.all():
                raw = raw._replace(images=raw.images[raw.valid], labels=raw.labels[raw.valid])
                index = index[raw.valid]
            self.images += len(index)
            if len(index):
                yield CropBatch(raw.images, raw.labels, index)
        require_mostly_read(self._unread, len(self.part), self.selection.data)

    @property
    def _unread(self) -> tuple[DataError, ...]:
        return tuple(DataError(name, reason) for name, reason in self._loader.errors.items())

    @property
    def left_out(self) -> tuple[DataError, ...]:
        """The files of the source that could not be used."""
        return self.selection.left_out + self._unread

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a person should know of the images: those of the selection, and what is left out."""
        left_out = self.left_out
        if not left_out:
            return self.selection.notes
        first, more = left_out[0], len(left_out) - 1
        reason = f"left out: {first.file} ({first.reason}){f' and {more:,} more' * bool(more)}"
        return (*self.selection.notes, Note("data", None, reason))

    def record(
        self,
        kind: EvaluationKind,
        *,
        metrics: Mapping[str, float | None],
        settings: Mapping[str, Any],
        details: Mapping[str, Any],
        notes: tuple[Note, ...] = (),
        intervals: Mapping[str, Interval] | None = None,
    ) -> EvaluationRecord:
        """Return the record of an evaluation on these crops; its settings also name the views."""
        return EvaluationRecord(
            kind=kind,
            data=self.selection.data.source,
            part=self.selection.name,
            images=self.images,
            weights=self.trained.weights_title,
            epoch=self.trained.epoch,
            precision=self.trained.precision,
            metrics=metrics,
            settings={**settings, "tta": self.trained.tta},
            details=details,
            notes=self.notes + notes,
            intervals=intervals or {},
        )
