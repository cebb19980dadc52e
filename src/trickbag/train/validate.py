"""Evaluate a network on a part of the data: exact metrics, each image once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from trickbag.data.loader import Loader
from trickbag.data.preprocess import Preprocessing
from trickbag.metrics import Classification

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
    stop: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Evaluate a network on all images of a loader; return None where `stop` asked to end before the last batch.

    The network is in evaluation mode meanwhile. An image that could not be read counts nothing.
    """
    training = network.training
    network.eval()
    counter = Classification(num_classes, device)
    kept: list[tuple[np.ndarray[Any, Any], ...]] = []
    seconds, count = 0.0, 0
    try:
        with torch.inference_mode():
            for raw in loader.epoch(0):
                if stop():
                    return None
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
    columns = [np.concatenate(column) for column in zip(*kept, strict=True)] if kept else [np.zeros(0)] * 4
    return Validation(counter.compute(), count / seconds if seconds else None, *columns)
