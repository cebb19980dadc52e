"""How a run reads its training images: number and kind of its workers, and what stays in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.data.dataset import Dataset

__all__ = ["settle_reading"]

_NOTED_BYTES = 64 * 2**20
"""Images that take less memory than this are not worth a note: Python and PyTorch take more."""


def settle_reading(
    data: DataConfig, dataset: Dataset, device: str, local_processes: int
) -> tuple[DataConfig, list[Note]]:
    """Return the data with number and kind of the workers of this process, and what it holds.

    `local_processes` share the cores and the memory of the machine. Raises UserError for images
    that are to be held, and cannot be.
    """
    from trickbag.data.loading.loader import default_workers
    from trickbag.data.loading.worker_kind import worker_kind

    workers = data.workers
    if workers is None:
        workers = default_workers(dataset.train, device)
        # The processes of one machine share its cores.
        workers = min(workers, max(1, workers // local_processes))
    kind = data.worker_kind
    if kind is None and workers:
        kind = worker_kind(dataset.train, data, workers, train=True)
    settled = replace(data, workers=workers, worker_kind=kind)
    holds, notes = _settle_holding(settled, dataset, local_processes)
    if data.dct_scaling and dataset.train.in_memory:
        reason = "the images are stored as pixels"
        notes.append(Note("no_effect", None, f"data.dct_scaling changes nothing: {reason}"))
    return replace(settled, hold_images=holds), notes


def _settle_holding(
    data: DataConfig, dataset: Dataset, local_processes: int
) -> tuple[bool, list[Note]]:
    """Return whether the training images are held, and a note if they take much memory."""
    from trickbag.data.decoding.held import held_limit

    if data.hold_images is False or dataset.train.in_memory:
        return False, []
    if obstacle := _obstacle(data, dataset):
        if data.hold_images:
            raise UserError(f"data.hold_images = True: {obstacle}", "leave it out")
        return False, []
    assert dataset.train_size is not None
    height, width = dataset.train_size
    images = len(dataset.train)
    size = images * height * width * dataset.pixels.count
    if data.hold_images is None and size > held_limit(local_processes):
        return False, []
    if size < _NOTED_BYTES:
        return True, []
    reason = (
        f"the {images:,} training images of {width}x{height} px stay in memory once they are "
        f"decoded: {size / 2**20:,.0f} MiB; data.hold_images=false reads their files in every epoch"
    )
    return True, [Note("choice", None, reason)]


def _obstacle(data: DataConfig, dataset: Dataset) -> str | None:
    """Return why the training images of a run cannot be held; None if they can."""
    if dataset.train.annotations != "classes":
        return f"these are images with {dataset.train.annotations}, which are read from their files"
    if not dataset.checked:
        return "the images are too many to be all read before training"
    if data.dct_scaling:
        return "each crop is decoded at a size of its own (data.dct_scaling)"
    if dataset.train_size is None:
        return "the training images have several sizes"
    if data.workers and data.worker_kind == "processes":
        return "each of the processes that load images would hold its own (data.worker_kind)"
    return None
