"""Evaluate a network on a part of the data: exact metrics, each image once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from trickbag.functional.device import copied
from trickbag.tasks.task import Pace, Task, TaskValidation
from trickbag.train.machine.device import Layout, evaluation_autocast, in_layout
from trickbag.train.machine.parallel import StepStatus, World

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.loading.loader import Loader
    from trickbag.data.loading.preprocess import Preprocessing

__all__ = ["validate"]


class _StopWaiting(Exception):
    """End the wait for a batch."""

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal


def validate(
    network: nn.Module,
    loader: Loader,
    *,
    task: Task,
    preprocessing: Preprocessing,
    device: torch.device,
    autocast_dtype: torch.dtype | None,
    layout: Layout,
    thresholds: tuple[float, ...] | None = None,
    keep_logits: bool = False,
    stop: Callable[[], str] = str,
    world: World | None = None,
) -> TaskValidation | str:
    """Evaluate a network, in evaluation mode, on all images of a loader that can be read.

    `stop` is called before each batch, and while one is waited for; if it returns a text,
    evaluation ends and returns that. `task` knows what the network says of images. With several
    labels an image predictions are made at `thresholds`, by default at those that are best for
    these images. An image with an output that is not finite is predicted as nothing. With
    `keep_logits` the validation has the logits, and the scores that need them. The processes of a
    `world` evaluate the network of the first one, each its own rows of the part, and all return the
    same.
    """
    world, signal = world or World(), ""
    # Each process has seen other images: the running statistics that count are the first's.
    world.broadcast_tensors(network.buffers())
    # Of each module: some are in evaluation mode while others are trained.
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
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
                images = preprocessing.normalise(copied(raw.images, device))
                labels = copied(raw.labels, device)
                with evaluation_autocast(device, autocast_dtype):
                    outputs = task.outputs(network, in_layout(images, layout), raw)
                predictions.add(raw, outputs, labels)
                # `add` copies to the CPU, and by that has waited for the device.
                seconds += time.perf_counter() - started
                count += len(raw.valid)
                not_finite += task.not_finite(outputs, raw)
    except _StopWaiting as error:
        signal = error.signal
    finally:
        for module, mode in modes:
            module.training = mode
    # After the loop and not in it: the processes can have different numbers of batches.
    if signal := world.all_reduce_status(StepStatus(stop=signal)).stop:
        return signal
    pace = Pace(len(loader.part), count, seconds)
    gather = world.all_gather if world.size > 1 else None
    validation = predictions.validation(pace, thresholds, gather)
    return replace(validation, not_finite=sum(world.all_gather(not_finite)))
