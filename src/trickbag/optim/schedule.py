"""Learning-rate schedules: a decay, and a warm-up before it.

Sources: He et al. 2018 (arXiv 1812.01187), sections 2.1 (steps), 3.1 (warm-up), 5.1 (cosine); Tan &
Le 2019 and the papers' TensorFlow recipes (exponential decay); Chen et al. 2016 (arXiv 1606.00915),
section 4.1 (polynomial decay).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trickbag.ranges import MAX_EPOCHS, Above, AtLeast, Between, Fraction, Positive
from trickbag.settings import Settings

__all__ = [
    "Constant",
    "ConstantEnd",
    "Cosine",
    "Decay",
    "Exponential",
    "Polynomial",
    "Schedule",
    "Stepwise",
    "first_epoch",
]


def _power(factor: float, times: float) -> float:
    """Return `factor ** times`; infinity where that is too large for a number.

    Training then stops at a loss that is not finite.
    """
    try:
        return float(factor**times)
    except OverflowError:
        return math.inf


@dataclass(frozen=True, kw_only=True)
class Constant(Settings):
    """A learning rate that stays the same."""

    kind: ClassVar[str] = "constant"
    after_warmup: ClassVar[bool] = False

    def __call__(self, progress: float, epochs: float = 1.0) -> float:
        """Return the factor of the learning rate: 1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Stepwise(Settings):
    """A learning rate that is multiplied by `factor` at each fraction of the run in `at`.

    The paper divides by 10 at epochs 30, 60 and 90 of 120 (section 2.1). The default is these as
    fractions, so that a shorter run keeps the shape.
    """

    kind: ClassVar[str] = "step"
    after_warmup: ClassVar[bool] = False
    factor: Annotated[float, Positive] = 0.1
    at: tuple[Annotated[float, Fraction], ...] = (0.25, 0.5, 0.75)

    def __call__(self, progress: float, epochs: float = 1.0) -> float:
        """Return the factor of the learning rate at `progress` in [0, 1] of the whole run."""
        # A boundary that falls on a step must not slip behind it by rounding.
        return _power(self.factor, sum(progress >= place - 1e-12 for place in self.at))


@dataclass(frozen=True, kw_only=True)
class Exponential(Settings):
    """A learning rate that is multiplied by `factor` every `every_epochs` epochs.

    With `staircase` it changes once in that time, else smoothly. 0.94 every 2 epochs is the step
    decay of section 5.1 of the paper; EfficientNet takes 0.97 every 2.4 epochs.
    """

    kind: ClassVar[str] = "exponential"
    after_warmup: ClassVar[bool] = False
    factor: Annotated[float, Positive] = 0.94
    every_epochs: Annotated[float, Above(0, MAX_EPOCHS)] = 2.0
    staircase: bool = True

    def __call__(self, progress: float, epochs: float = 1.0) -> float:
        """Return the factor of the learning rate at `progress` in [0, 1] of so many epochs."""
        # Limited, as an infinite number has no whole part.
        times = min(progress * epochs / self.every_epochs, sys.maxsize)
        # As in `Stepwise`: rounding must not move a boundary.
        return _power(self.factor, math.floor(times + 1e-9) if self.staircase else times)


@dataclass(frozen=True, kw_only=True)
class Cosine(Settings):
    """A learning rate that falls along half a cosine to zero: `(1 + cos(pi t / T)) / 2`.

    T is the run without its warm-up. Source: He et al. 2018, section 5.1, equation 1.
    """

    kind: ClassVar[str] = "cosine"
    after_warmup: ClassVar[bool] = True

    def __call__(self, progress: float, epochs: float = 1.0) -> float:
        """Return the factor of the learning rate at `progress` t / T in [0, 1]."""
        return 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True, kw_only=True)
class Polynomial(Settings):
    """A learning rate that falls to zero as a power of what is left: `(1 - t / T) ** power`.

    T is the run without its warm-up. Segmentation has a power of 0.9; 1 is a straight line.
    Source: Chen et al. 2016, section 4.1.
    """

    kind: ClassVar[str] = "poly"
    after_warmup: ClassVar[bool] = True
    power: Annotated[float, Above(0, 100)] = 0.9

    def __call__(self, progress: float, epochs: float = 1.0) -> float:
        """Return the factor of the learning rate at `progress` t / T in [0, 1]."""
        return float(max(0.0, 1.0 - progress) ** self.power)


Decay = Constant | Stepwise | Exponential | Cosine | Polynomial


@dataclass(frozen=True, kw_only=True)
class ConstantEnd(Settings):
    """A learning rate that is `factor` times `training.lr` at the end of a run.

    It begins with the first epoch of which the share `start` of the run is over. From the rate
    that the decay has there it goes to the constant one within `anneal_epochs`, along half a cosine
    or a line. Source: Izmailov et al. 2018 (arXiv 1803.05407), section 3; torch's `SWALR`.
    """

    start: Annotated[float, Between(0, 1, open_high=True)] = 0.75
    factor: Annotated[float, Between(0, 1e6, open_low=True)] = 0.5
    anneal_epochs: Annotated[float, AtLeast(0, MAX_EPOCHS)] = 1.0
    anneal: Literal["cos", "linear"] = "cos"

    def first_epoch(self, epochs: float) -> int:
        """Return the first epoch at the constant rate, from 0; not before the end if none is."""
        return first_epoch(self.start, epochs)

    def factor_after(self, before: float, epochs: float) -> float:
        """Return the factor so many epochs after the start, at which the decay's was `before`."""
        if epochs >= self.anneal_epochs:
            return self.factor
        share = epochs / self.anneal_epochs
        if self.anneal == "cos":
            share = (1 - math.cos(math.pi * share)) / 2
        return before + (self.factor - before) * share


def first_epoch(start: float, epochs: float) -> int:
    """Return the first epoch, from 0, before which the share `start` of the run is over."""
    # Rounding must not move a boundary to the next epoch.
    return math.ceil(start * epochs - 1e-9)


@dataclass(frozen=True, kw_only=True)
class Schedule(Settings):
    """The learning rate over a run as a factor of `training.lr`: a linear warm-up, then a decay.

    `warmup="step"` raises the rate with every step: `lr * i / m` at the i-th of m steps, i from 1.
    That is the paper's form; its code starts at 0, with a first step that changes nothing.
    `warmup="epoch"` raises the rate at the start of each epoch. A warm-up that is longer than the
    run is cut off by its end: 5 epochs in a run of 3 end at 3/5, in both forms, and the decay never
    starts. `end` is a constant rate after the decay, which stops there; None lets it go on.
    """

    introduced_later: ClassVar[tuple[str, ...]] = ("end",)

    decay: Decay = Stepwise()
    warmup_epochs: Annotated[float, AtLeast(0, MAX_EPOCHS)] = 0.0
    warmup: Literal["step", "epoch"] = "step"
    end: ConstantEnd | None = None

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """Return the steps of the warm-up, which can be more than those of the run."""
        return round(self.warmup_epochs * steps_per_epoch)

    def factor(self, step: int, steps_per_epoch: int, epochs: float) -> float:
        """Return the factor of the learning rate at `step`, counted from 0 over the run."""
        if self.end is None:
            return self._factor(step, steps_per_epoch, epochs)
        start = self.end.first_epoch(epochs) * steps_per_epoch
        if step < start:
            return self._factor(step, steps_per_epoch, epochs)
        before = self._factor(start, steps_per_epoch, epochs)
        return self.end.factor_after(before, (step - start) / steps_per_epoch)

    def _factor(self, step: int, steps_per_epoch: int, epochs: float) -> float:
        """Return the factor of warm-up and decay."""
        total = max(1, round(epochs * steps_per_epoch))
        # Not cut to the run: m is the length of the warm-up, however long the run is.
        warm = self.warmup_steps(steps_per_epoch)
        if step < warm and self.warmup == "step":
            return (step + 1) / warm
        if step < warm:
            return min(1.0, (step // steps_per_epoch + 1) / math.ceil(self.warmup_epochs))
        if self.decay.after_warmup:
            # Divided by the number N of steps. The paper's code divides by N - 1, and its last step
            # has a rate of 0.
            return self.decay((step - warm) / max(1, total - warm), epochs)
        return self.decay(step / total, epochs)
