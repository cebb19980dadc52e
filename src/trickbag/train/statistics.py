"""Running statistics of batch normalisation, computed anew for the weights that are evaluated.

Shapes: N images of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.modules.batchnorm import _NormBase

from trickbag.functional.device import copied
from trickbag.train.machine.device import evaluation_autocast, in_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

    from trickbag.data.loading.loader import Loader
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.source import Part
    from trickbag.train.machine.device import Layout

__all__ = ["MOST_IMAGES", "reestimate", "statistics_rows"]

MOST_IMAGES = 4_096
"""The most training images of which statistics are computed.

Wu & Johnson 2021 (arXiv 2105.07576, section 3) find that a thousand suffice.
"""


def statistics_rows(part: Part, batch_size: int, most: int = MOST_IMAGES) -> Part:
    """Return the training images of which statistics are computed: whole batches, evenly spread.

    They are at most `most`. Fewer images than a batch are one batch.
    """
    images = len(part)
    count = min(images, most)
    count = max(min(images, batch_size), count - count % batch_size)
    return part.subset(np.linspace(0, images - 1, count).round().astype(np.int64))


def reestimate(
    network: nn.Module,
    loader: Loader,
    *,
    norms: Iterable[nn.Module],
    preprocessing: Preprocessing,
    device: torch.device,
    autocast_dtype: torch.dtype | None,
    layout: Layout,
    waiting: Callable[[], None] = lambda: None,
) -> None:
    """Set the running statistics of `norms` to the mean of those of all batches of a loader.

    The variances are the unbiased ones of the batches. All other layers compute as in evaluation,
    in which the statistics are used: no dropout changes them. The images must be prepared as in
    evaluation, too. Source: Wu & Johnson 2021 (arXiv 2105.07576), section 3, "PreciseBN". `waiting`
    is called before each batch and while one is waited for; what it raises ends the work.
    """
    modes = [(module, module.training) for module in network.modules()]
    chosen = [norm for norm in norms if isinstance(norm, _NormBase)]
    momenta = [norm.momentum for norm in chosen]
    network.eval()
    try:
        for norm in chosen:
            norm.reset_running_stats()
            norm.momentum = None  # torch then averages over all batches
            norm.train()
        with torch.inference_mode():
            for raw in loader.epoch(0, waiting=waiting):
                waiting()
                if raw.valid.sum() < 2:  # a single value of a channel has no variance
                    continue
                images = preprocessing.normalise(copied(raw.images[raw.valid], device))
                with evaluation_autocast(device, autocast_dtype):
                    network(in_layout(images, layout))
    finally:
        for norm, momentum in zip(chosen, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
