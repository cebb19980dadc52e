"""Initial values of a detector's own layers, each from a stream of its parameter's name.

Sources: Girshick 2015 (arXiv 1504.08083), section 3.1, and Ren et al. 2015 (arXiv 1506.01497),
section 3.1.3: normal values of standard deviation 0.01, and 0.001 for the boxes of regions. The
pyramid and the layers of the two-layer head have the uniform values of variance 1 / fan_in that
detectors have had there since Caffe's `xavier` filler.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["initialise_layers"]


def initialise_layers(
    network: nn.Module, modules: Iterable[nn.Module], seed: int, *, std: float | None = None
) -> None:
    """Set the convolutions and linear layers within `modules` of a network, in place.

    Weights are normal with a standard deviation of `std`; with None uniform in [-a, a], a = sqrt(3
    / fan_in). Biases are 0. A stream goes by the name in `network`.
    """
    chosen = {layer for module in modules for layer in module.modules()}
    for name, layer in network.named_modules():
        if layer not in chosen or not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        shape = tuple(layer.weight.shape)
        rng = stream(seed, f"init:{name}.weight")
        if std is not None:
            values = np.float32(std) * rng.standard_normal(shape, dtype=np.float32)
        else:
            bound = math.sqrt(3.0 / math.prod(shape[1:]))
            values = np.float32(2 * bound) * (rng.random(shape, dtype=np.float32) - np.float32(0.5))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(values))
            if layer.bias is not None:
                layer.bias.zero_()
