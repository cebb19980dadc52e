"""Binary cross-entropy: each class is a question of its own, answered with a sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from trickbag.tricks.trick import Loss, NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["BCE"]


@dataclass(frozen=True, kw_only=True)
class BCE(Trick):
    """Train with binary cross-entropy in the place of softmax cross-entropy.

    `reduction="sum"` adds the classes up, as Assemble's unused sigmoid loss does: at K classes the
    gradient of each logit is as large as that of cross-entropy. `"mean"` divides by K, as the
    published codes with adaptive optimizers do. Data with several labels an image are trained with
    the sum even without this trick.
    """

    name: ClassVar[str] = "bce"
    slot: ClassVar[str] = "loss"
    paper: ClassVar[str] = (
        "Wightman et al. 2021, arXiv 2110.00476, section 3; Lee et al. 2020, arXiv 2001.06268 "
        "(code)"
    )

    reduction: Literal["sum", "mean"] = "sum"

    def data(self, data: DataConfig) -> DataConfig:
        """Find out whether the loss is this one without the trick."""
        if data.multi_label and self.reduction == "sum":
            raise NoEffect("images with several labels are trained so without it")
        return data

    def loss(self, loss: Loss) -> Loss:
        """Replace the loss."""
        from trickbag.optim.losses import BinaryCrossEntropy

        return BinaryCrossEntropy(self.reduction)
