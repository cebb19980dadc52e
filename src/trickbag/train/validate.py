"""Evaluate a network on a part of the data: exact metrics, each image once.

Shapes: N images of a batch, n images of the part, K classes.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.metrics.classification import Classification
from trickbag.metrics.multi_label import MultiLabel
from trickbag.optim.losses import binary_cross_entropy
from trickbag.train.machine.parallel import StepStatus, World

if TYPE_CHECKING:
    from trickbag.data.loading.loader import Loader, RawBatch
    from trickbag.data.loading.preprocess import Preprocessing

__all__ = ["Validation", "validate"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Validation:
    """The metrics of a part, and the predictions for its images.

    `index` (n,) are the images' places in the part, `labels` and `predicted` (n,) class indices,
    `confidence` (n,) in [0, 1]. With several labels an image `multi_label` has the metrics by
    class, labels and predictions are (n, K) of 0 and 1, and the confidence is NaN. `throughput` is
    in images/s: of the network and its metrics, without the reading of images.
    """

    metrics: dict[str, float | None]
    throughput: float | None
    index: np.ndarray[Any, np.dtype[np.int64]]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    predicted: np.ndarray[Any, np.dtype[np.int64]]
    confidence: np.ndarray[Any, np.dtype[np.float64]]
    multi_label: MultiLabel | None = None

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The threshold of each class if images have several labels, else None."""
        return None if self.multi_label is None else self.multi_label.thresholds


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
    """Evaluate a network, in evaluation mode, on all images of a loader that can be read.

    `stop` is called before each batch; if it returns a text, evaluation ends and returns that. With
    several labels an image predictions are made at `thresholds`, by default at those that are best
    for these images. The processes of a `world` evaluate the network of the first one, each its own
    rows of the part, and all return the same.
    """
    world, signal = world or World(), ""
    # Each process has seen other images: the running statistics that count are the first's.
    world.broadcast_tensors(network.buffers())
    training = network.training
    network.eval()
    predictions: _Predictions = (
        _MultiLabelPredictions(num_classes)
        if loader.part.labels.ndim == 2
        else _ClassPredictions(num_classes, device)
    )
    seconds, count = 0.0, 0
    try:
        with torch.inference_mode():
            for raw in loader.epoch(0):
                if signal := stop():
                    break
                started = time.perf_counter()
                images = preprocessing.normalise(raw.images.to(device, non_blocking=True).float())
                if layout == "channels_last":
                    images = images.contiguous(memory_format=torch.channels_last)
                labels = raw.labels.to(device, non_blocking=True)
                with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                    logits = network(images)
                predictions.add(raw, logits.float(), labels)
                # `add` copies to the CPU, and by that has waited for the device.
                seconds += time.perf_counter() - started
                count += len(raw.valid)
    finally:
        network.train(training)
    if signal := world.all_reduce_status(StepStatus(stop=signal)).stop:
        return signal
    return predictions.validation(world, _Pace(len(loader.part), count, seconds), thresholds)


class _Pace(NamedTuple):
    """How many rows of the part a process has, and the images it evaluated in how many seconds."""

    rows: int
    images: int
    seconds: float

    @staticmethod
    def throughput(images: int, seconds: float) -> float | None:
        """Return images/s; None if no time was measured."""
        return images / seconds if seconds else None


class _Predictions(ABC):
    """The predictions of a network so far, from which metrics are computed at the end."""

    @abstractmethod
    def add(self, raw: RawBatch, logits_NK: Tensor, labels: Tensor) -> None:
        """Add a batch; images that could not be read count nothing."""

    @abstractmethod
    def validation(
        self, world: World, pace: _Pace, thresholds: tuple[float, ...] | None
    ) -> Validation:
        """Return metrics and predictions of all processes."""


class _ClassPredictions(_Predictions):
    """Predictions of one class an image, with its probability as the confidence."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self._counter = Classification(num_classes, device)
        self._columns: list[tuple[Array, ...]] = []

    def add(self, raw: RawBatch, logits_NK: Tensor, labels: Tensor) -> None:
        self._counter.update(logits_NK, labels, raw.valid.to(labels.device, non_blocking=True))
        valid = raw.valid.numpy()
        confidence, predicted = logits_NK.softmax(dim=1).max(dim=1)
        self._columns.append(
            (
                raw.index.numpy()[valid],
                raw.labels.numpy()[valid],
                predicted.cpu().numpy()[valid],
                confidence.double().cpu().numpy()[valid],
            )
        )

    def validation(
        self, world: World, pace: _Pace, thresholds: tuple[float, ...] | None
    ) -> Validation:
        columns = (
            [np.concatenate(column) for column in zip(*self._columns, strict=True)]
            if self._columns
            else [np.zeros(0)] * 4
        )
        if world.size > 1:
            return self._of_all(world, pace, columns)
        throughput = _Pace.throughput(pace.images, pace.seconds)
        return Validation(self._counter.compute(), throughput, *columns)

    def _of_all(self, world: World, pace: _Pace, columns: list[Array]) -> Validation:
        """Return the validation of the whole part, its images in the order of the part."""
        state = {name: tensor.tolist() for name, tensor in self._counter.state().items()}
        gathered = world.all_gather([state, *pace, [column.tolist() for column in columns]])
        states, rows, images, seconds, tables = zip(*gathered, strict=True)
        total = self._counter.state()
        for name, tensor in total.items():
            counts = torch.tensor([each[name] for each in states], dtype=tensor.dtype)
            tensor.copy_(counts.sum(dim=0))
        self._counter.load_state(total)
        for table, start in zip(tables, np.cumsum([0, *rows]), strict=False):
            table[0] = [int(start) + row for row in table[0]]
        types = (np.int64, np.int64, np.int64, np.float64)
        index, labels, predicted, confidence = (
            np.concatenate([np.array(part, dtype) for part in column])
            for column, dtype in zip(zip(*tables, strict=True), types, strict=True)
        )
        # The processes work at the same time, so that the slowest one decides.
        throughput = _Pace.throughput(sum(images), max(seconds))
        return Validation(self._counter.compute(), throughput, index, labels, predicted, confidence)


class _MultiLabelPredictions(_Predictions):
    """Predictions of several labels an image: all probabilities, as metrics rank them."""

    def __init__(self, num_classes: int) -> None:
        self._index: list[Array] = []
        self._scores = [np.zeros((0, num_classes))]
        self._labels = [np.zeros((0, num_classes), np.int64)]
        self._loss = torch.zeros((), dtype=torch.float64)

    def add(self, raw: RawBatch, logits_NK: Tensor, labels: Tensor) -> None:
        valid = raw.valid.to(labels.device, non_blocking=True)
        # In float32 a sigmoid is 1 from logits of 17 on, and the ranking of images would be lost.
        logits, labels_NK = logits_NK[valid].double().cpu(), labels[valid].cpu()
        self._index.append(raw.index.numpy()[raw.valid.numpy()])
        self._scores.append(logits.sigmoid().numpy())
        self._labels.append(labels_NK.numpy())
        weights_N = logits.new_ones(len(logits))
        self._loss += binary_cross_entropy(logits, labels_NK.double(), weights_N).sum()

    def validation(
        self, world: World, pace: _Pace, thresholds: tuple[float, ...] | None
    ) -> Validation:
        index = np.concatenate(self._index) if self._index else np.zeros(0, np.int64)
        scores, labels = np.concatenate(self._scores), np.concatenate(self._labels)
        loss, images, seconds = float(self._loss), pace.images, pace.seconds
        if world.size > 1:
            row = [scores.tolist(), labels.tolist(), loss, *pace, index.tolist()]
            columns = list(zip(*world.all_gather(row), strict=True))
            shape = (-1, scores.shape[1])
            scores = np.concatenate([np.array(c, np.float64).reshape(shape) for c in columns[0]])
            labels = np.concatenate([np.array(c, np.int64).reshape(shape) for c in columns[1]])
            loss, rows, images, seconds = (
                sum(columns[2]),
                columns[3],
                sum(columns[4]),
                max(columns[5]),
            )
            starts = np.cumsum([0, *rows])
            index = np.concatenate(
                [
                    np.array(part, np.int64) + start
                    for part, start in zip(columns[6], starts, strict=False)
                ]
            )
        multi_label, n = MultiLabel.of(scores, labels, thresholds), len(scores)
        metrics: dict[str, float | None] = dict.fromkeys(("top1", "top5", "loss", "ece"))
        metrics["loss"] = loss / n if n and np.isfinite(loss) else None
        return Validation(
            metrics=metrics | multi_label.metrics(),
            throughput=_Pace.throughput(images, seconds),
            index=index,
            labels=multi_label.labels,
            predicted=multi_label.predicted,
            confidence=np.full(n, np.nan),
            multi_label=multi_label,
        )
