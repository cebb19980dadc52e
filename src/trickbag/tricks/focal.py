"""Focal loss: what the network already predicts well counts for less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.errors import DoesNotApply
from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Loss, NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["Focal"]


@dataclass(frozen=True, kw_only=True)
class Focal(Trick):
    """Train with the focal loss in place of cross-entropy.

    `gamma` is the power of `1 - p` by which the loss of a label with the probability p is
    multiplied. With one label an image p is that of the softmax; with several labels each class has
    a sigmoid of its own, and `alpha` weighs the labels that are there, `1 - alpha` those that are
    not; None weighs both alike.
    """

    name: ClassVar[str] = "focal"
    slot: ClassVar[str] = "loss"
    paper: ClassVar[str] = "Lin et al. 2017, arXiv 1708.02002, section 3"

    only_labels: ClassVar[bool] = True

    gamma: Annotated[float, AtLeast(0, 100)] = 2.0
    alpha: Annotated[float, Between(0, 1, open_low=True, open_high=True)] | None = None

    def data(self, data: DataConfig) -> DataConfig:
        """Return the data as they are; NoEffect if the loss is the usual one."""
        if self.alpha is not None and not data.multi_label:
            raise DoesNotApply(
                f"focal.alpha = {self.alpha:g} weighs labels that are there against those that are "
                "not, and these images have one label each",
                "Leave it out; class_weights weighs classes",
            )
        if self.gamma == 0 and self.alpha is None:
            raise NoEffect("with gamma = 0 the loss is the one without it")
        return data

    def loss(self, loss: Loss) -> Loss:
        """Replace the loss."""
        from trickbag.optim.focal_losses import FocalLoss

        return FocalLoss(self.gamma, self.alpha)
