"""Evaluate a network on a part of the data: exact metrics, each image once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.metrics.classification import Classification
from trickbag.metrics.multi_label import MultiLabel
from trickbag.optim.losses import binary_cross_entropy
from trickbag.train.machine.parallel import StepStatus, World

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """Metrics of a part, and for each image its index, label, predicted class (integers) and confidence in [0, 1].

    `throughput` is in images/s: the network and its metrics, without the reading of images. With
    several labels an image `several` has more to say, labels and predictions are (n, K) of 0 and 1,
    and confidence is not defined (NaN).
    """

    metrics: dict[str, float | None]
    throughput: float | None
    index: np.ndarray[Any, np.dtype[np.int64]]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    predicted: np.ndarray[Any, np.dtype[np.int64]]
    confidence: np.ndarray[Any, np.dtype[np.float64]]
    several: MultiLabel | None = None

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The threshold of each class, where images have several labels."""
        return None if self.several is None else self.several.thresholds


def validate(
    network: nn.Module,
    loader: Loader,
    *,
    preprocessing: Preprocessing,
    num_classes: int,
    device: torch.device,
    autocast: torch.dtype | None,
    layout: str,
    thresholds: tuple[float, ...] | None = None,
    stop: Callable[[], str] = str,
    world: World | None = None,
) -> Validation | str:
    """Evaluate a network on all images of a loader, or return what `stop` said before the last batch.

    The network is in evaluation mode meanwhile. An image that could not be read counts nothing.
    With several labels an image these are given at `thresholds`, or at those that are best for the
    images of this loader. The processes of a `world` have the network of the first, each the images
    of its share of the part, and all get the whole.
    """
    world, asked = world or World(), ""
    world.broadcast_tensors(network.buffers())
    training = network.training
    network.eval()
    counter = (
        Sigmoids(num_classes)
        if loader.part.labels.ndim == 2
        else Classification(num_classes, device)
    )
    kept: list[tuple[np.ndarray[Any, Any], ...]] = []
    seconds, count = 0.0, 0
    try:
        with torch.inference_mode():
            for raw in loader.epoch(0):
                if asked := stop():
                    break
                started = time.perf_counter()
                images = preprocessing.normalise(raw.images.to(device, non_blocking=True).float())
                if layout == "channels_last":
                    images = images.contiguous(memory_format=torch.channels_last)
                labels = raw.labels.to(device, non_blocking=True)
                with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                    logits = network(images)
                logits = logits.float()
                counter.update(logits, labels, raw.valid.to(device, non_blocking=True))
                rows = raw.valid.numpy()
                columns = [raw.index.numpy()[rows], raw.labels.numpy()[rows]]
                if raw.labels.ndim == 1:
                    confidence, predicted = logits.softmax(dim=1).max(dim=1)
                    columns += [
                        predicted.cpu().numpy()[rows],
                        confidence.double().cpu().numpy()[rows],
                    ]
                kept.append(tuple(columns))
                # The copies above have waited for the device.
                seconds += time.perf_counter() - started
                count += len(rows)
    finally:
        network.train(training)
    if asked := world.all_reduce_status(StepStatus(stop=asked)).stop:
        return asked
    if isinstance(counter, Sigmoids):
        index = np.concatenate([each for each, _ in kept]) if kept else np.zeros(0, np.int64)
        return counter.validation(world, len(loader.part), count, seconds, index, thresholds)
    columns = (
        [np.concatenate(column) for column in zip(*kept, strict=True)]
        if kept
        else [np.zeros(0)] * 4
    )
    if world.size > 1:
        return _together(world, counter, len(loader.part), count, seconds, columns)
    return Validation(counter.compute(), count / seconds if seconds else None, *columns)


def _together(
    world: World,
    counter: Classification,
    rows: int,
    count: int,
    seconds: float,
    columns: Sequence[np.ndarray[Any, Any]],
) -> Validation:
    """Return what the processes found together, of which each has evaluated some `rows` of the
    part, in their order."""
    state = {name: tensor.tolist() for name, tensor in counter.state().items()}
    found = world.all_gather([state, count, seconds, rows, [column.tolist() for column in columns]])
    states, counts, times, parts, tables = zip(*found, strict=True)
    for name, tensor in (total := counter.state()).items():
        tensor.copy_(torch.tensor([each[name] for each in states], dtype=tensor.dtype).sum(dim=0))
    counter.load_state(total)
    for table, start in zip(tables, np.cumsum([0, *parts]), strict=False):
        table[0] = [int(start) + row for row in table[0]]
    whole = [
        np.concatenate([np.array(column, kind) for column in each])
        for each, kind in zip(
            zip(*tables, strict=True), (np.int64, np.int64, np.int64, np.float64), strict=True
        )
    ]
    # They work at the same time: the slowest one counts.
    throughput, (index, labels, predicted, confidence) = (
        sum(counts) / max(times) if max(times) else None,
        whole,
    )
    return Validation(counter.compute(), throughput, index, labels, predicted, confidence)


class Sigmoids:
    """Keeps what a network says of images with several labels each, until all is there to be
    measured."""

    def __init__(self, num_classes: int) -> None:
        self.scores = [np.zeros((0, num_classes))]
        self.labels = [np.zeros((0, num_classes), np.int64)]
        self.loss = torch.zeros((), dtype=torch.float64)

    def update(self, logits_NK: Tensor, labels_NK: Tensor, valid_N: Tensor) -> None:
        """Keep the probabilities of a batch, and add its loss up: the sum over the classes."""
        logits, labels = logits_NK[valid_N].double().cpu(), labels_NK[valid_N].cpu()
        self.scores.append(logits.sigmoid().numpy())
        self.labels.append(labels.numpy())
        self.loss += binary_cross_entropy(
            logits, labels.double(), logits.new_ones(len(logits))
        ).sum()

    def validation(
        self,
        world: World,
        rows: int,
        count: int,
        seconds: float,
        index: np.ndarray[Any, Any],
        thresholds: tuple[float, ...] | None,
    ) -> Validation:
        """Measure all that was kept, by every process of its `rows`; what is defined for one label
        alone is None."""
        scores, labels = np.concatenate(self.scores), np.concatenate(self.labels)
        loss, images, slowest = float(self.loss), count, seconds
        if world.size > 1:
            own = [scores.tolist(), labels.tolist(), loss, count, seconds, rows, index.tolist()]
            tables = list(zip(*world.all_gather(own), strict=True))
            shape = (-1, scores.shape[1])
            scores = np.concatenate(
                [np.array(each, np.float64).reshape(shape) for each in tables[0]]
            )
            labels = np.concatenate([np.array(each, np.int64).reshape(shape) for each in tables[1]])
            loss, images, slowest = sum(tables[2]), sum(tables[3]), max(tables[4])
            starts = np.cumsum([0, *tables[5]])
            index = np.concatenate(
                [
                    np.array(each, np.int64) + start
                    for each, start in zip(tables[6], starts, strict=False)
                ]
            )
        measured, n = MultiLabel.of(scores, labels, thresholds), len(scores)
        metrics: dict[str, float | None] = dict.fromkeys(("top1", "top5", "loss", "ece"))
        metrics["loss"] = loss / n if n and np.isfinite(loss) else None
        return Validation(
            metrics=metrics | measured.metrics(),
            throughput=images / slowest if slowest else None,
            index=index,
            labels=measured.labels,
            predicted=measured.predicted,
            confidence=np.full(n, np.nan),
            several=measured,
        )
