"""How fast a trained network predicts, and the memory that it takes.

Shapes: N images of a batch.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.size import height_width
from trickbag.errors import RunFailed
from trickbag.evaluate.selection import select
from trickbag.train.loaders import evaluation_loader
from trickbag.train.machine.isolation import isolated
from trickbag.train.machine.memory import PeakMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.evaluate.trained import Trained

__all__ = ["Speed", "measure_speed", "throughputs"]

WARM_UP = 5
"""Calls before the first one that counts: they choose kernels and fill caches."""

SINGLE_CALLS, BATCH_CALLS = 100, 10
"""Calls that count, of one image and of a batch."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The time of the network on crops that are in memory: images are neither read nor cropped.

    Of a detector and a segmenter the time of boxes and of masks at the size of the file is in it.

    `throughput` is in images/s, in batches of `batch_size`, of the median call. Latencies are in
    milliseconds, of one image: the median, and the value that 95 % of the calls do not exceed.
    `peak_memory` is in bytes: on CUDA of all tensors, on a CPU of the process; None where the
    system does not measure it. `threads` are those of torch on the CPU. `repetitions` are the calls
    that count, of single images and of batches, after `warm_up` others.
    """

    throughput: float
    latency_median_ms: float
    latency_p95_ms: float
    peak_memory: int | None
    device: str
    precision: str
    threads: int
    batch_size: int
    repetitions: tuple[int, int]
    warm_up: int

    def to_dict(self) -> dict[str, Any]:
        """Return the speed as plain data."""
        return asdict(self) | {"repetitions": list(self.repetitions)}


def measure_speed(
    trained: Trained,
    *,
    data: str | None = None,
    image_root: str | tuple[str, ...] | None = None,
    part: str | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    repetitions: tuple[int, int] = (SINGLE_CALLS, BATCH_CALLS),
    warm_up: int = WARM_UP,
) -> Speed:
    """Measure a trained network on the first images of a part.

    The images are those of `evaluate.selection.select`; a part of fewer images than a batch has is
    repeated. Views and networks of an average are in the time. Raises UserError as `select`, and
    RunFailed if no image can be read.
    """
    size = batch_size or trained.batch_size
    threads = torch.get_num_threads() if trained.plan is None else trained.plan.threads
    raw = _images(trained, size, data=data, image_root=image_root, part=part, progress=progress)
    with isolated(threads, trained.device.type):
        memory = PeakMemory(trained.device.type)
        rows = torch.arange(size)
        singles = [_chosen(raw, rows[i : i + 1]) for i in range(size)]
        alone = _times(trained, singles, repetitions[0], warm_up)
        many = _times(trained, [raw], repetitions[1], warm_up)
        return Speed(
            throughput=size / float(np.median(many)),
            latency_median_ms=1000 * float(np.median(alone)),
            latency_p95_ms=1000 * float(np.quantile(alone, 0.95)),
            peak_memory=memory.bytes,
            device=_device_name(trained.device),
            precision=trained.precision,
            threads=threads,
            batch_size=size,
            repetitions=repetitions,
            warm_up=warm_up,
        )


def throughputs(
    networks: Sequence[Trained],
    batch_size: int,
    *,
    threads: int,
    rounds: int = BATCH_CALLS,
    warm_up: int = WARM_UP,
) -> list[float]:
    """Return the images/s of classifiers on one device, of the median call of each.

    They are called in turns, so that a machine whose speed drifts is as slow for all. Each has a
    batch of random images of its own size.
    """
    generator = torch.Generator().manual_seed(0)
    with isolated(threads, networks[0].device.type):
        batches = [
            torch.randint(256, _batch_shape(trained, batch_size), generator=generator).byte()
            for trained in networks
        ]
        times = [
            [
                _seconds(trained, partial(trained.logits, images))
                for trained, images in zip(networks, batches, strict=True)
            ]
            for _ in range(warm_up + rounds)
        ]
    return [batch_size / float(np.median(each)) for each in zip(*times[warm_up:], strict=True)]


def _batch_shape(trained: Trained, batch_size: int) -> tuple[int, ...]:
    size = height_width(trained.preprocessing.image_size)
    return (batch_size, trained.preprocessing.count, *size)


def _images(trained: Trained, size: int, **selected: Any) -> RawBatch:
    """Return `size` images that can be read, on the network's device."""
    selection = select(trained, **selected)
    part = selection.part.subset(np.arange(min(len(selection.part), 2 * size)))
    loader = evaluation_loader(
        part,
        selection.data,
        trained.preprocessing,
        batch_size=len(part),
        workers=0,
        device=trained.device.type,
    )
    with loader:
        (raw,) = loader.epoch(0)
    (read,) = raw.valid.nonzero(as_tuple=True)
    if not len(read):
        raise RunFailed(
            f"none of the first {len(part)} images of {selection.data.source} can be read",
            "repair or remove them",
        )
    chosen = _chosen(raw, read[torch.arange(size) % len(read)])
    return chosen._replace(images=chosen.images.to(trained.device))


def _chosen(raw: RawBatch, rows: Tensor) -> RawBatch:
    """Return some images of a batch."""
    return raw._replace(
        images=raw.images[rows],
        labels=raw.labels[rows],
        index=raw.index[rows],
        valid=raw.valid[rows],
        extents=raw.extents[rows] if len(raw.extents) else raw.extents,
    )


def _times(
    trained: Trained, batches: list[RawBatch], repetitions: int, warm_up: int
) -> list[float]:
    """Return the seconds of each call, which ends when its outputs are there."""
    is_classifier = trained.task.kind == "classification"
    times = []
    for call in range(warm_up + repetitions):
        raw = batches[call % len(batches)]
        predict = (
            partial(trained.logits, raw.images) if is_classifier else partial(trained.outputs, raw)
        )
        times.append(_seconds(trained, predict))
    return times[warm_up:]


def _seconds(trained: Trained, predict: Callable[[], object]) -> float:
    """Return the seconds of a call on the network's device, until its outputs are there."""
    started = time.perf_counter()
    predict()
    if trained.device.type == "cuda":
        torch.cuda.synchronize(trained.device)
    elif trained.device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type
