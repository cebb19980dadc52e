"""Evaluate a network on a part of the data: exact metrics, each image once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from trickbag.functional.device import copied
from trickbag.tasks.classification import ClassificationTask, Pace, Validation
from trickbag.train.machine.device import Layout, evaluation_autocast, in_layout
from trickbag.train.machine.parallel import StepStatus, World

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.loading.loader import Loader
    from trickbag.data.loading.preprocess import Preprocessing

__all__ = ["only_finite", "validate"]


def only_finite(logits_NK: torch.Tensor) -> torch.Tensor:
    """Return the logits (N, K) of a batch; all NaN for an image of which one is not finite.

    Otherwise one that is infinite could pass for a sure prediction.
    """
    return torch.where(logits_NK.isfinite().all(dim=1, keepdim=True), logits_NK, torch.nan)


class _StopWaiting(Exception):
    """End the wait for a batch."""

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal


def validate(
    network: nn.Module,
    loader: Loader,
    *,
    preprocessing: Preprocessing,
    num_classes: int,
    device: torch.device,
    autocast_dtype: torch.dtype | None,
    layout: Layout,
    thresholds: tuple[float, ...] | None = None,
    keep_logits: bool = False,
    stop: Callable[[], str] = str,
    world: World | None = None,
) -> Validation | str:
    """Evaluate a network, in evaluation mode, on all images of a loader that can be read.

    `stop` is called before each batch, and while one is waited for; if it returns a text,
    evaluation ends and returns that. With several labels an image predictions are made at
    `thresholds`, by default at those that are best for these images. An image with a logit that is
    not finite is predicted as nothing. With `keep_logits` the validation has the logits, and the
    scores that need them. The processes of a `world` evaluate the network of the first
    one, each its own rows of the part, and all return the same.
    """
    world, signal = world or World(), ""
    # Each process has seen other images: the running statistics that count are the first's.
    world.broadcast_tensors(network.buffers())
    training = network.training
    network.eval()
    multi_label = loader.part.labels.ndim == 2
    task = ClassificationTask(num_classes=num_classes, multi_label=multi_label)
    predictions = task.predictions(device, keep_logits=keep_logits)
    seconds, count, not_finite = 0.0, 0, 0

    def waiting() -> None:
        if signal := stop():
            raise _StopWaiting(signal)

    try:
        with torch.inference_mode():
            for raw in loader.epoch(0, waiting=waiting):
                if signal := stop():
                    break
                started = time.perf_counter()
                images = preprocessing.normalise(copied(raw.images, device).float())
                labels = copied(raw.labels, device)
                with evaluation_autocast(device, autocast_dtype):
                    logits = network(in_layout(images, layout))
                logits = only_finite(logits.float())
                predictions.add(raw, logits, labels)
                # `add` copies to the CPU, and by that has waited for the device.
                seconds += time.perf_counter() - started
                count += len(raw.valid)
                # An image that could not be read has no logits of its own.
                not_finite += int((logits.isnan().all(dim=1).cpu() & raw.valid).sum())
    except _StopWaiting as error:
        signal = error.signal
    finally:
        network.train(training)
    # After the loop and not in it: the processes can have different numbers of batches.
    if signal := world.all_reduce_status(StepStatus(stop=signal)).stop:
        return signal
    pace = Pace(len(loader.part), count, seconds)
    gather = world.all_gather if world.size > 1 else None
    validation = predictions.validation(pace, thresholds, gather)
    return replace(validation, not_finite=sum(world.all_gather(not_finite)))
