"""How fast a network predicts on this machine, in which way, and what takes longest.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.size import height_width
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.selection import select
from trickbag.functional.device import copied
from trickbag.models.folding import fold_batch_norms
from trickbag.models.summary import display_name
from trickbag.train.loaders import evaluation_loader
from trickbag.train.machine.device import evaluation_autocast, in_layout, placed
from trickbag.train.machine.isolation import isolated

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.size import Size
    from trickbag.evaluate.trained import Trained
    from trickbag.models.config import Precision
    from trickbag.train.machine.device import Layout

__all__ = ["BATCH_SIZES", "InferenceSpeed", "Way", "bench_infer"]

BATCH_SIZES = (1, 8, 32, 128)
"""Batch sizes that are measured beside the network's own, in the fastest way."""

READ = 64
"""The images of a source that are read to measure how fast they load."""

_LEAST_ROUNDS = 3
_ADVICE = {
    "loading": "more workers (--workers), or images that are stored smaller",
    "preparing": "a larger --batch-size",
    "network": "the fastest way above, a smaller network, or a GPU",
    "probabilities": "a larger --batch-size",
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to compute a network, and its speed.

    `folded`: batch normalisation is in the convolutions. `images_per_s` is the median of rounds in
    which all ways take turns, with their range. `difference` is the largest difference of a logit
    from the network in float32 as it is, as a fraction of the largest logit.
    """

    precision: Precision
    layout: Layout
    folded: bool
    batch_size: int
    images_per_s: float
    images_per_s_range: tuple[float, float]
    difference: float

    @property
    def title(self) -> str:
        """The way as text."""
        return f"{self.precision}, {self.layout}{', folded' if self.folded else ''}"


@dataclass(frozen=True, kw_only=True)
class InferenceSpeed:
    """The speed of a network's predictions.

    `ways` are measured in batches of one size, the first one being that of `evaluate` and
    `predict`; `batches` are other batch sizes in the fastest way. `parts_ms` is the time of an
    image in the first way: to read and crop it in one process, if there is a source, to bring it
    to the device and normalise it, the network, and the probabilities. `bottleneck` is the longest
    part, and `advice` what makes it faster.
    """

    network: str
    image_size: Size
    device: str
    threads: int
    ways: tuple[Way, ...]
    batches: tuple[Way, ...]
    parts_ms: dict[str, float]
    bottleneck: str
    advice: str

    @property
    def fastest(self) -> Way:
        """The fastest way, at the best batch size."""
        return max((*self.ways, *self.batches), key=lambda way: way.images_per_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the measurement as plain data."""
        ways = {
            name: [asdict(way) | {"images_per_s_range": [*way.images_per_s_range]} for way in each]
            for name, each in (("ways", self.ways), ("batches", self.batches))
        }
        fastest = {"fastest": f"{self.fastest.title}, batches of {self.fastest.batch_size}"}
        return asdict(self) | ways | fastest


def bench_infer(
    trained: Trained,
    *,
    data: str | None = None,
    batch_size: int | None = None,
    seconds: float = 10.0,
    clock: Callable[[], float] = time.perf_counter,
) -> InferenceSpeed:
    """Measure the predictions of a classifier for about `seconds`.

    The network computes random images in memory. Those of `data`, or of the run that trained the
    network, are read to measure the loading. `clock` tells the time in seconds. Raises UserError
    for another task or an average, and for a source that cannot be read.
    """
    if trained.task.kind != "classification" or trained.members:
        what = "an average" if trained.members else f"{trained.task.kind}"
        raise UserError(f"bench infer measures one classifier, not {what}", "give one such RUN")
    threads = torch.get_num_threads() if trained.plan is None else trained.plan.threads
    size = batch_size or trained.batch_size
    with isolated(threads, trained.device.type):
        stopwatch = _Stopwatch(trained.device, clock)
        images = _images(trained, size)
        variants = [trained, *_variants(trained)]
        ways = _measured(variants, images, stopwatch, seconds / 2)
        fastest = variants[max(range(len(ways)), key=lambda place: ways[place].images_per_s)]
        batches = []
        others = [other for other in BATCH_SIZES if other != size]
        for other in others:
            batch = _images(trained, other)
            batches += _measured([fastest], batch, stopwatch, seconds / 2 / len(others), trained)
        parts_ms = _parts_ms(trained, images, stopwatch)
        if data is not None or trained.record is not None:
            parts_ms = {"loading": _loading_ms(trained, data, stopwatch), **parts_ms}
    bottleneck = max(parts_ms, key=lambda part: parts_ms[part])
    return InferenceSpeed(
        network=display_name(trained.model),
        image_size=trained.preprocessing.image_size,
        device=trained.device.type,
        threads=threads,
        ways=tuple(ways),
        batches=tuple(batches),
        parts_ms=parts_ms,
        bottleneck=bottleneck,
        advice=_ADVICE[bottleneck],
    )


@dataclass(frozen=True)
class _Stopwatch:
    """Tells the time at which a device has done what was asked of it."""

    device: torch.device
    clock: Callable[[], float]

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return self.clock()

    def seconds(self, call: Callable[[], object]) -> float:
        started_s = self.now()
        call()
        return self.now() - started_s


def _variants(trained: Trained) -> Iterator[Trained]:
    """Yield the network in other ways than its own."""
    folded = _folded(trained)
    reduced: Precision = "fp16" if trained.device.type == "cuda" else "bf16"
    precisions: tuple[Precision, ...] = ("float32", reduced)
    layouts: tuple[Layout, ...] = ("contiguous", "channels_last")
    for precision in dict.fromkeys((trained.precision, *precisions)):
        for layout in layouts:
            for network in (trained.network, folded):
                if network is None:  # no layer of it can be folded
                    continue
                same = network is trained.network and layout == trained.layout
                if same and precision == trained.precision:
                    continue
                # A copy: the layout is that of the weights.
                moved = placed(copy.deepcopy(network), trained.device, layout)
                yield replace(trained, network=moved, precision=precision, layout=layout)


def _folded(trained: Trained) -> torch.nn.Module | None:
    network = copy.deepcopy(trained.network)
    shape = (trained.preprocessing.count, *height_width(trained.preprocessing.image_size))
    return network if fold_batch_norms(network, shape) else None


def _images(trained: Trained, size: int) -> Tensor:
    shape = (size, trained.preprocessing.count, *height_width(trained.preprocessing.image_size))
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(0)).byte()


def _measured(
    variants: list[Trained],
    images: Tensor,
    stopwatch: _Stopwatch,
    seconds: float,
    reference: Trained | None = None,
) -> list[Way]:
    """Return the ways with their speeds, which take turns for about `seconds`."""
    exact = replace(reference or variants[0], precision="float32").logits(images)
    differences = []
    for variant in variants:  # the first call chooses kernels, too
        logits = variant.logits(images)
        differences.append(float((logits - exact).abs().max() / exact.abs().max()))
    rates: list[list[float]] = [[] for _ in variants]
    ends_s = stopwatch.now() + seconds
    while len(rates[0]) < _LEAST_ROUNDS or stopwatch.now() < ends_s:
        for variant, each in zip(variants, rates, strict=True):
            each.append(len(images) / stopwatch.seconds(partial(variant.logits, images)))
    norms = [_norms(variant) for variant in variants]
    most = max([*norms, _norms(reference) if reference is not None else 0])
    return [
        Way(
            precision=variant.precision,
            layout=variant.layout,
            folded=number < most,
            batch_size=len(images),
            images_per_s=median(each),
            images_per_s_range=(min(each), max(each)),
            difference=difference,
        )
        for variant, each, number, difference in zip(
            variants, rates, norms, differences, strict=True
        )
    ]


def _norms(trained: Trained) -> int:
    return sum(isinstance(m, torch.nn.BatchNorm2d) for m in trained.network.modules())


def _parts_ms(trained: Trained, images: Tensor, stopwatch: _Stopwatch) -> dict[str, float]:
    """Return the milliseconds of an image in each part of a prediction."""
    times: dict[str, list[float]] = {"preparing": [], "network": [], "probabilities": []}
    with torch.inference_mode():
        for _ in range(_LEAST_ROUNDS):
            marks = [stopwatch.now()]
            prepared = trained.preprocessing.normalise(copied(images, trained.device))
            marks.append(stopwatch.now())
            with evaluation_autocast(trained.device, trained.autocast_dtype):
                logits = trained.network(in_layout(prepared, trained.layout))
            marks.append(stopwatch.now())
            logits.float().softmax(dim=1).cpu()
            marks.append(stopwatch.now())
            for each, began, ended in zip(times.values(), marks[:-1], marks[1:], strict=True):
                each.append(1000 * (ended - began) / len(images))
    return {part: median(each) for part, each in times.items()}


def _loading_ms(trained: Trained, data: str | None, stopwatch: _Stopwatch) -> float:
    """Return the milliseconds in which one process reads and crops an image."""
    selection = select(trained, data=data, image_root=None, part=None, progress=None)
    images = np.linspace(0, len(selection.part) - 1, min(len(selection.part), READ)).astype(int)
    loader = evaluation_loader(
        selection.part.subset(images),
        selection.data,
        trained.preprocessing,
        batch_size=len(images),
        workers=0,
        device=trained.device.type,
    )
    with loader:
        seconds, read = [], 0
        for _ in range(_LEAST_ROUNDS):
            started_s = stopwatch.now()
            read = sum(int(raw.valid.sum()) for raw in loader.epoch(0))
            seconds.append(stopwatch.now() - started_s)
    if not read:
        raise RunFailed(
            f"none of {len(images)} images of {selection.data.source} can be read",
            "repair or remove them",
        )
    return 1000 * median(seconds) / len(images)
