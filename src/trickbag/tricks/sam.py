"""Sharpness-aware minimisation: descend by the gradient at a point a short step uphill.

The mathematics is `SharpnessAware` in `optim/steps.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.optim.steps import SharpnessAware
from trickbag.ranges import Positive
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

__all__ = ["Sam"]


@dataclass(frozen=True, kw_only=True)
class Sam(Trick):
    """Use the gradient at a point a step of length `rho` uphill, which leads to flat minima.

    A step costs two forward and backward passes. `adaptive` measures the length in units of each
    weight's magnitude; `rho` is then about ten times as large.
    """

    name: ClassVar[str] = "sam"
    paper: ClassVar[str] = "Foret et al. 2020, arXiv 2010.01412; Kwon et al. 2021, arXiv 2102.11600"

    rho: Annotated[float, Positive] = 0.05
    adaptive: bool = False

    def training(self, training: TrainConfig) -> TrainConfig:
        """Compute the gradients of every step in two passes."""
        step = SharpnessAware(rho=self.rho, adaptive=self.adaptive)
        if training.step == step:
            raise NoEffect(f"training.step already is sam with rho {self.rho:g}")
        return replace(training, step=step)
