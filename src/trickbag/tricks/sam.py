"""Sharpness-aware minimisation; the mathematics is `train.passes.SharpnessAware`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.optim.steps import SharpnessAware
from trickbag.settings import Positive
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

__all__ = ["Sam"]


@dataclass(frozen=True, kw_only=True)
class Sam(Trick):
    """Descend by the gradients that the loss has a step of length `rho` uphill: towards flat places, at twice the cost.

    `adaptive` measures that length in units of each weight's size; `rho` is then about ten times as
    large.
    """

    name: ClassVar[str] = "sam"
    paper: ClassVar[str] = "Foret et al. 2020, arXiv 2010.01412; Kwon et al. 2021, arXiv 2102.11600"

    rho: Annotated[float, Positive] = 0.05
    adaptive: bool = False

    def training(self, training: TrainConfig) -> TrainConfig:
        """Make the gradients of every step in two passes."""
        step = SharpnessAware(rho=self.rho, adaptive=self.adaptive)
        if training.step == step:
            raise NoEffect(f"training.step already is sam with rho {self.rho:g}")
        return replace(training, step=step)
