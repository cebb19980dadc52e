"""How many training images a second one core loads, by each way that images can be stored.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms import v2 as transforms
from torchvision.transforms.functional import InterpolationMode

from trickbag.bench.packs import SHORT_SIDE, packed_jpeg, packed_raw
from trickbag.data.config import INTERPOLATION
from trickbag.data.dataset import CHECK_LIMIT
from trickbag.data.decoding.check import Progress, check_parts
from trickbag.data.decoding.decode import PLUGINS, DecodeError, image_format
from trickbag.data.decoding.turbojpeg import turbojpeg
from trickbag.data.loading.crops import TrainingCrop, draw_crop
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.packing.settings import QUALITY
from trickbag.data.pixel_scale import sampled, settle_pixels
from trickbag.data.size import height_width
from trickbag.data.source import DataError, EncodedPart
from trickbag.data.sources import open_source
from trickbag.errors import RunFailed, UserError
from trickbag.streams import stream

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

    from trickbag.data.config import DataConfig
    from trickbag.data.size import Size
    from trickbag.data.source import Part

__all__ = ["IMAGE_SIZE", "SAMPLE", "DataBench", "DataPath", "bench_data"]

IMAGE_SIZE = 224
"""The image size where neither the settings nor the source say one."""

SAMPLE = 256
"""The most images that are measured, spread over the training part."""

_BATCH = 32
_LEAST_ROUNDS = 5

# The processor's time of this thread, which other work on the machine changes least; where that is
# counted in large ticks, the time.
_CLOCK = (
    time.thread_time if time.get_clock_info("thread_time").resolution < 1e-3 else time.perf_counter
)

_STEPS = ("reading", "decoding", "resizing", "batching")
_ADVICE = {
    "reading": "a pack, which is one file",
    "decoding": "a pack of smaller images, and more data.workers",
    "resizing": "a pack of smaller images, and more data.workers",
    "batching": "more data.workers",
}
"""What makes each step shorter."""


@dataclass(frozen=True, kw_only=True)
class DataPath:
    """The speed of one way to store images.

    images_per_s: in a second of one core, the median over the rounds. ratio: of the reference's
    time to this one's, round by round, the median; low and high are its quartiles. steps_ms:
    milliseconds an image by step. bottleneck: the longest step.
    """

    name: str
    images_per_s: float
    ratio: float
    low: float
    high: float
    steps_ms: dict[str, float]
    bottleneck: str


@dataclass(frozen=True, kw_only=True)
class DataBench:
    """What `bench_data` measures.

    images: how many different ones. images_per_s: of the reference, torchvision's transforms on
    Pillow's images. region_decoding: whether a library decodes a part of a JPEG alone.
    dct_scaling: `data.dct_scaling`. left_out: images of the sample that do not decode.
    """

    source: str
    image_size: Size
    images: int
    rounds: int
    images_per_s: float
    region_decoding: bool
    dct_scaling: bool
    paths: tuple[DataPath, ...]
    left_out: tuple[DataError, ...] = ()

    @property
    def bottleneck(self) -> str:
        """The longest step of the source's own images."""
        return self.paths[0].bottleneck

    @property
    def advice(self) -> str:
        """What makes the bottleneck shorter, in a few words."""
        return _ADVICE[self.bottleneck]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "source": self.source,
            "image_size": list(height_width(self.image_size)),
            "images": self.images,
            "batch_size": _BATCH,
            "rounds": self.rounds,
            "short_side": SHORT_SIDE,
            "quality": QUALITY,
            "region_decoding": self.region_decoding,
            "dct_scaling": self.dct_scaling,
            "reference": {
                "name": "torchvision's transforms on Pillow's images",
                "images_per_s": self.images_per_s,
            },
            "paths": [
                {
                    "name": path.name,
                    "images_per_s": path.images_per_s,
                    "ratio": path.ratio,
                    "ratio_quartiles": [path.low, path.high],
                    "steps_ms": path.steps_ms,
                    "bottleneck": path.bottleneck,
                }
                for path in self.paths
            ],
            "bottleneck": self.bottleneck,
            "advice": self.advice,
            "left_out": [error._asdict() for error in self.left_out],
        }


def bench_data(
    data: DataConfig,
    *,
    seconds: float = 10.0,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> DataBench:
    """Measure how fast one core makes training batches of a source's images.

    The ways are the images as they are, and two packs of them that are made in memory: JPEGs, and
    pixels. Each makes random crops of `data.image_size` and mirrors them, as training does, and
    takes turns, batch by batch, with the same transforms of torchvision on images of Pillow. The
    turns go on for so many `seconds`, at least five times. What counts is the processor's time of
    one thread. Images are read anew each time, most often from the system's memory: a disk that is
    waited for is not seen. `progress` and `cache_dir` are those of `check_parts`.

    Raises UserError for a source that cannot be used, and for other than three channels, RunFailed
    where no image decodes.
    """
    part, size, left_out = _sample(data, progress, cache_dir)
    data = replace(data, image_size=size)
    parts = {"original": part, "packed_jpeg": packed_jpeg(part), "packed_raw": packed_raw(part)}
    with _single_thread():
        loaders = {name: _batches(each, data) for name, each in parts.items()}
        times = _in_turns({"reference": _reference(part, data), **loaders}, seconds)
        steps = {name: _steps(each, data) for name, each in parts.items()}
    rows = min(_BATCH, len(part))
    return DataBench(
        source=data.source,
        image_size=size,
        images=len(part),
        rounds=len(times["reference"]),
        images_per_s=rows / median(times["reference"]),
        region_decoding=turbojpeg() is not None,
        dct_scaling=data.dct_scaling,
        paths=tuple(
            _path(name, times["reference"], times[name], steps[name], rows) for name in parts
        ),
        left_out=left_out,
    )


def _sample(
    data: DataConfig, progress: Progress | None, cache_dir: Path | None
) -> tuple[Part, Size, tuple[DataError, ...]]:
    """Return the images to measure, their size as training images, and those that are bad."""
    source = open_source(data, cache_dir=cache_dir)
    sample = sampled(source.parts["train"], SAMPLE)
    results = check_parts({"train": sample}, progress, cache_dir).results["train"]
    good = [i for i, result in enumerate(results) if result.reason is None]
    left_out = [
        DataError(name, result.reason)
        for name, result in zip(sample.names, results, strict=True)
        if result.reason is not None
    ]
    if good:
        kept = {"train": [results[i] for i in good]}
        scale = settle_pixels(data, {"train": sample.subset(good)}, kept, None)
        part = scale.parts["train"]
        left_out += scale.errors
        if part.pixels.count != 3:
            raise UserError(
                f"data.channels gives {part.pixels.count} channels, and torchvision's transforms "
                "on Pillow's images, beside which this measures, have three",
                "leave data.channels out",
            )
    if not good or not len(part):
        first = f": {left_out[0].file} ({left_out[0].reason})" if left_out else ""
        raise RunFailed(f"data source {data.source!r}: no image of the sample decodes{first}")
    if isinstance(part, EncodedPart):
        # As in training: images of a larger source are not checked before.
        listed = sum(len(each) for each in source.parts.values())
        part = replace(part, verified=listed <= CHECK_LIMIT)
    size = data.image_size or source.natural_size or IMAGE_SIZE
    return part, size, tuple(left_out)


@contextmanager
def _single_thread() -> Iterator[None]:
    """Let torch use one thread in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(part: Part, data: DataConfig) -> Callable[[], Tensor]:
    """Return what makes the next batch of training images, uint8 (N, C, H, W)."""
    preprocessing = Preprocessing.of(data, data.image_size or IMAGE_SIZE)
    # As networks in low precision take them.
    loader = Loader(
        part, data, preprocessing, train=True, batch_size=_BATCH, workers=0, channels_last=True
    )
    place = itertools.count()
    batches = (batch for epoch in itertools.count() for batch in loader.epoch(epoch))

    def following() -> Tensor:
        images = next(batches).images
        if data.flip_prob > 0:
            drawn = stream(0, "flip", 0, next(place)).random(len(images)) < data.flip_prob
            for i in np.flatnonzero(drawn).tolist():
                images[i] = images[i].flip(2)
        return images

    return following


def _reference(part: Part, data: DataConfig) -> Callable[[], Tensor]:
    """Return what makes the next batch by torchvision's transforms on images of Pillow."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                list(height_width(data.image_size or IMAGE_SIZE)),
                data.crop_area,
                data.crop_ratio,
                InterpolationMode(data.interpolation or INTERPOLATION),
            ),
            transforms.RandomHorizontalFlip(data.flip_prob),
            transforms.PILToTensor(),
        ]
    )
    n = len(part)
    orders = (stream(0, "order", epoch, 0).permutation(n) for epoch in itertools.count())
    rows = (
        order[start : start + _BATCH]
        for order in orders
        for start in range(0, max(1, n - _BATCH + 1), _BATCH)
    )

    def following() -> Tensor:
        return torch.stack([transform(_picture(part, row)) for row in next(rows).tolist()])

    return following


def _picture(part: Part, row: int) -> Image:
    """Open an image as torchvision's data sets do."""
    if not isinstance(part, EncodedPart):
        from PIL.Image import fromarray

        return fromarray(part.read(row))
    encoded = part.encoded(row)
    with PLUGINS[image_format(encoded)](io.BytesIO(encoded)) as image:
        return image.convert("RGB")


def _in_turns(jobs: dict[str, Callable[[], Tensor]], seconds: float) -> dict[str, list[float]]:
    """Return the seconds of each job in each round; every second round is in reverse order."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    end = time.perf_counter() + seconds
    for number in itertools.count():
        for name in list(jobs) if number % 2 == 0 else list(jobs)[::-1]:
            started = _CLOCK()
            jobs[name]()
            times[name].append(_CLOCK() - started)
        if number + 1 >= _LEAST_ROUNDS and time.perf_counter() >= end:
            return times
    raise AssertionError("there is no last number")


def _steps(part: Part, data: DataConfig) -> dict[str, float]:
    """Return the mean milliseconds of an image in each step but the last."""
    size, mean = data.image_size or IMAGE_SIZE, Preprocessing.of(data, IMAGE_SIZE).mean
    interpolation = data.interpolation or INTERPOLATION
    milliseconds: list[tuple[float, ...]] = []
    for row in range(len(part)):

        def draw(height: int, width: int, row: int = row) -> TrainingCrop:
            return draw_crop(height, width, stream(0, "crop", 0, row), data, size)

        clock = [_CLOCK()]
        if isinstance(part, EncodedPart):
            part.encoded(row)
        clock.append(_CLOCK())
        try:
            drawn, pixels = part.read_box(row, draw)
        except DecodeError:
            continue
        clock.append(_CLOCK())
        drawn.of(pixels, size, mean, interpolation)
        clock.append(_CLOCK())
        reading, reading_and_decoding, resizing = np.diff(clock) * 1e3
        if isinstance(part, EncodedPart):
            decoding = max(0.0, reading_and_decoding - reading)
        else:
            reading, decoding = reading_and_decoding, 0.0
        milliseconds.append((reading, decoding, resizing))
    columns = zip(*milliseconds, strict=True)
    return {name: float(np.mean(column)) for name, column in zip(_STEPS, columns, strict=False)}


def _path(
    name: str, reference_s: list[float], ours_s: list[float], steps: dict[str, float], rows: int
) -> DataPath:
    ratios = np.divide(reference_s, ours_s)
    low, ratio, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
    batch_ms = 1e3 * median(ours_s) / rows
    steps_ms = {**steps, _STEPS[-1]: max(0.0, batch_ms - sum(steps.values()))}
    return DataPath(
        name=name,
        images_per_s=rows / median(ours_s),
        ratio=ratio,
        low=low,
        high=high,
        steps_ms=steps_ms,
        bottleneck=max(steps_ms, key=steps_ms.__getitem__),
    )
