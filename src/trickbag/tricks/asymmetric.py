"""Asymmetric loss: classes that an image does not show count for less than those it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Loss, NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["Asymmetric"]


@dataclass(frozen=True, kw_only=True)
class Asymmetric(Trick):
    """Train with the asymmetric loss, which is made for images with several labels.

    Each class has a sigmoid and a loss of its own, with one label an image too.
    `gamma_pos` and `gamma_neg` are the powers by which a label that is there, and one that is not,
    is counted for less the better it is predicted. A class that is not there counts nothing up to a
    probability of `margin`.
    """

    name: ClassVar[str] = "asymmetric"
    slot: ClassVar[str] = "loss"
    paper: ClassVar[str] = "Ridnik et al. 2021, arXiv 2009.14119, section 2"

    only_labels: ClassVar[bool] = True

    gamma_pos: Annotated[float, AtLeast(0, 100)] = 0.0
    gamma_neg: Annotated[float, AtLeast(0, 100)] = 4.0
    margin: Annotated[float, Between(0, 1, open_high=True)] = 0.05

    def data(self, data: DataConfig) -> DataConfig:
        """Return the data as they are; NoEffect if the loss is the usual one."""
        if data.multi_label and self.gamma_pos == self.gamma_neg == self.margin == 0:
            raise NoEffect("with gammas and margin of 0 the loss is the one without it")
        return data

    def loss(self, loss: Loss) -> Loss:
        """Replace the loss."""
        from trickbag.optim.focal_losses import AsymmetricLoss

        return AsymmetricLoss(self.gamma_pos, self.gamma_neg, self.margin)
