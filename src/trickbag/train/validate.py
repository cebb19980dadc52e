"""Evaluate a network on a part of the data: exact metrics, each image once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from trickbag.data.loader import Loader
from trickbag.data.preprocess import Preprocessing
from trickbag.metrics import Classification
from trickbag.train.parallel import Told, World

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """Metrics of a part, and for each image its index, label, predicted class (integers) and confidence in [0, 1].

    `throughput` is in images/s: the network and its metrics, without the reading of images.
    """

    metrics: dict[str, float | None]
    throughput: float | None
    index: np.ndarray[Any, np.dtype[np.int64]]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    predicted: np.ndarray[Any, np.dtype[np.int64]]
    confidence: np.ndarray[Any, np.dtype[np.float64]]


def validate(
    network: nn.Module,
    loader: Loader,
    *,
    preprocessing: Preprocessing,
    num_classes: int,
    device: torch.device,
    autocast: torch.dtype | None,
    layout: str,
    stop: Callable[[], str] = str,
    world: World | None = None,
) -> Validation | str:
    """Evaluate a network on all images of a loader, or return what `stop` said before the last batch.

    The network is in evaluation mode meanwhile. An image that could not be read counts nothing. The processes of a
    `world` have the network of the first, each the images of its share of the part, and all get the whole.
    """
    world, asked = world or World(), ""
    world.copy_first(network.buffers())
    training = network.training
    network.eval()
    counter = Classification(num_classes, device)
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
                confidence, predicted = logits.softmax(dim=1).max(dim=1)
                rows = raw.valid.numpy()
                kept.append(
                    (
                        raw.index.numpy()[rows],
                        raw.labels.numpy()[rows],
                        predicted.cpu().numpy()[rows],
                        confidence.double().cpu().numpy()[rows],
                    )
                )
                # The copies above have waited for the device.
                seconds += time.perf_counter() - started
                count += len(rows)
    finally:
        network.train(training)
    if asked := world.agree(Told(stop=asked)).stop:
        return asked
    columns = [np.concatenate(column) for column in zip(*kept, strict=True)] if kept else [np.zeros(0)] * 4
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
    """Return what the processes found together, of which each has evaluated some `rows` of the part, in their order."""
    state = {name: tensor.tolist() for name, tensor in counter.state().items()}
    found = world.collect([state, count, seconds, rows, [column.tolist() for column in columns]])
    states, counts, times, parts, tables = zip(*found, strict=True)
    for name, tensor in (total := counter.state()).items():
        tensor.copy_(torch.tensor([each[name] for each in states], dtype=tensor.dtype).sum(dim=0))
    counter.load_state(total)
    for table, start in zip(tables, np.cumsum([0, *parts]), strict=False):
        table[0] = [int(start) + row for row in table[0]]
    whole = [
        np.concatenate([np.array(column, kind) for column in each])
        for each, kind in zip(zip(*tables, strict=True), (np.int64, np.int64, np.int64, np.float64), strict=True)
    ]
    # They work at the same time: the slowest one counts.
    return Validation(counter.compute(), sum(counts) / max(times) if max(times) else None, *whole)
