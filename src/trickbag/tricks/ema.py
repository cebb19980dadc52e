"""Exponential moving average: evaluate and keep the average of the weights over the steps."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Average, NoEffect, Trick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

__all__ = ["Ema", "MovingAverage", "decay_at", "move_average"]


MAX_EVERY = 1_000_000
"""The most steps between two updates of the average."""

_SMALLEST_DECAY = 2.0**-25
"""Half of the distance from 1 to the next smaller float32: below it 1 - decay is rounded to 1."""


def decay_at(step: int, decay: float = 0.999, *, warmup: bool = True) -> float:
    """Return the decay of the average after t = `step` updates: min(decay, (1 + t) / (10 + t)).

    The decay is the weight of the old average in the new one. Without `warmup` it is `decay` from
    the start; the initial weights then keep an influence for about `1 / (1 - decay)` steps. Source:
    TensorFlow's `ExponentialMovingAverage` with `num_updates`, with which EfficientNet was trained.
    """
    return min(decay, (1 + step) / (10 + step)) if warmup else decay


def move_average(averages: Sequence[Tensor], values: Sequence[Tensor], decay: float) -> None:
    """Set every average to `decay average + (1 - decay) value`, in place.

    Tensors that are not of a floating type, such as counters, become the value.
    """
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    pairs = list(zip(averages, values, strict=True))
    floats = [(average, value) for average, value in pairs if average.is_floating_point()]
    # All tensors in one call: a few kernels for the network in place of one for each tensor. The 0
    # stands for an argument that the function ignores.
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch has no type for it
    move([average for average, _ in floats], [value.detach() for _, value in floats], 0)
    for average, value in pairs:
        if not average.is_floating_point():
            average.copy_(value)


class MovingAverage:
    """The moving average of a network's parameters and of its normalisation statistics.

    `network` holds the average: a copy on the same device, in evaluation mode, without gradients.
    """

    def __init__(
        self, network: nn.Module, decay: float = 0.999, *, warmup: bool = True, every: int = 1
    ) -> None:
        self.decay, self.warmup, self.every = decay, warmup, every
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        # The optimizer and the layers change these tensors in place, so the lists stay valid.
        self._values = [*network.parameters(), *network.buffers()]
        self._averages = [*self.network.parameters(), *self.network.buffers()]

    def update(self, step: int) -> None:
        """Update the average with the current weights after step `step`, counted from 0.

        That is done in step 0 and each `every` steps after it. Does not synchronise with the
        device.
        """
        updates, rest = divmod(step, self.every)
        if rest == 0:
            decay = decay_at(updates, self.decay, warmup=self.warmup)
            move_average(self._averages, self._values, decay)


@dataclass(frozen=True, kw_only=True)
class Ema(Trick):
    """Evaluate and keep the exponential moving average of the weights, not the last weights.

    `decay` is the weight of the old average in each update; with `warmup` it rises from 0.1 to that
    value. The average is updated each `every` steps.
    """

    name: ClassVar[str] = "ema"
    slot: ClassVar[str] = "average"
    paper: ClassVar[str] = (
        "Szegedy et al. 2015, arXiv 1512.00567, section 8; Tan & Le 2019, arXiv 1905.11946"
    )

    introduced_later: ClassVar[tuple[str, ...]] = ("every",)

    decay: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.999
    warmup: bool = True
    every: Annotated[int, AtLeast(1, MAX_EVERY)] = 1

    def average(self, network: nn.Module) -> Average:
        """Return the moving average of the network."""
        if self.decay < _SMALLEST_DECAY:
            raise NoEffect(f"with decay = {self.decay:g} the average is the weights themselves")
        return MovingAverage(network, self.decay, warmup=self.warmup, every=self.every)
