"""Linear scaling: the learning rate grows with the batch size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.optim.config import MAX_BATCH
from trickbag.ranges import AtLeast
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

__all__ = ["LinearScaling", "scale_lr"]


def scale_lr(lr: float, batch_size: int, reference_batch: int = 256) -> float:
    """Return the learning rate of a batch size: `lr * batch_size / reference_batch`.

    A batch that is b times larger gives gradients with b times less variance and b times fewer
    steps. Source: Goyal et al. 2017; He et al. 2018, section 3.1, "Linear scaling learning rate"
    (0.1 at 256 images).
    """
    return lr * batch_size / reference_batch


@dataclass(frozen=True, kw_only=True)
class LinearScaling(Trick):
    """Scale the learning rate with the batch size, from its value at `reference_batch` images."""

    name: ClassVar[str] = "linear_scaling"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 3.1; Goyal et al. 2017, arXiv 1706.02677"
    )

    fits_lr_to_batch: ClassVar[bool] = True

    reference_batch: Annotated[int, AtLeast(1, MAX_BATCH)] = 256

    def training(self, training: TrainConfig) -> TrainConfig:
        """Multiply `lr` by `batch_size / reference_batch`."""
        if training.batch_size == self.reference_batch:
            raise NoEffect(
                f"batch_size = {training.batch_size} is the reference batch, so the learning rate "
                "stays"
            )
        return replace(
            training, lr=scale_lr(training.lr, training.batch_size, self.reference_batch)
        )
