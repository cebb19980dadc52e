"""Binary cross-entropy: each class has a sigmoid and a loss of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.ranges import Between
from trickbag.tricks.trick import Loss, NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig

__all__ = ["BCE"]


@dataclass(frozen=True, kw_only=True)
class BCE(Trick):
    """Train with binary cross-entropy in place of softmax cross-entropy.

    `reduction="sum"` sums over the classes, as the unused sigmoid loss in the code of Lee et al.
    2020 does; the gradient of a logit is then as large as that of cross-entropy. `"mean"` divides
    by K, as published code with adaptive optimizers does. Multi-label data are trained with the sum
    even without this trick. With `target_threshold` targets above it, mixed and smoothed, become 1
    and all others 0: a mixed image then shows both of its classes.
    """

    name: ClassVar[str] = "bce"
    slot: ClassVar[str] = "loss"
    paper: ClassVar[str] = (
        "Wightman et al. 2021, arXiv 2110.00476, section 3; Lee et al. 2020, arXiv 2001.06268 "
        "(code)"
    )

    only_labels: ClassVar[bool] = True

    introduced_later: ClassVar[tuple[str, ...]] = ("target_threshold",)

    reduction: Literal["sum", "mean"] = "sum"
    target_threshold: Annotated[float, Between(0, 1, open_high=True)] | None = None

    @property
    def target_limit(self) -> float | None:
        """The threshold of the targets."""
        return self.target_threshold

    def data(self, data: DataConfig) -> DataConfig:
        """Return the data as they are; NoEffect if the loss is this one without the trick."""
        if data.multi_label and self.reduction == "sum" and self.target_threshold is None:
            raise NoEffect("images with several labels are trained so without it")
        return data

    def loss(self, loss: Loss) -> Loss:
        """Replace the loss."""
        from trickbag.optim.losses import BinaryCrossEntropy

        return BinaryCrossEntropy(self.reduction, self.target_threshold)
