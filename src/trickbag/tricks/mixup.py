"""Mixup: train on weighted means of two images and of their targets.

Shapes: N images of a batch, K classes, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.settings import Positive
from trickbag.tricks.trick import START, Batch, Moment, Trick

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["Mixup", "mix"]


def mix(values: Tensor, lam_N: Tensor, partner_N: Tensor) -> Tensor:
    """Return `lam * x_i + (1 - lam) * x_j` for each row i of `values` (N, ...), where j = `partner_N[i]`.

    Images and all that is said about them (targets, a teacher's logits) are mixed with the same `lam_N` (N,), in
    [0, 1], and `partner_N` (N,), rows of the same batch. Source: Zhang et al. 2017; He et al. 2018, section 5.4.
    """
    lam = lam_N.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return lam * values + (1 - lam) * values[partner_N]


@dataclass(frozen=True, kw_only=True)
class Mixup(Trick):
    """Train on weighted means of two images and of their targets, the weight from Beta(alpha, alpha).

    `lam="batch"` draws one weight for the whole batch, as the paper's code does; `"pair"` one for each image. The
    partner of an image is its mirror place in the batch. The paper trains for 200 epochs in place of 120 with it.
    """

    name: ClassVar[str] = "mixup"
    slot: ClassVar[str] = "mix"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 5.4; Zhang et al. 2017, arXiv 1710.09412"
    paper_epochs: ClassVar[tuple[int, int] | None] = (200, 120)

    alpha: Annotated[float, Positive] = 0.2
    lam: Literal["batch", "pair"] = "batch"

    def draw(self, n: int, rng: np.random.Generator, moment: Moment = START) -> tuple[np.ndarray, ...]:
        """Draw the weight and the partner of each image: (n,) float32 and (n,) int64."""
        import numpy as np

        lam = rng.beta(self.alpha, self.alpha, size=n if self.lam == "pair" else 1)
        return np.broadcast_to(lam, n).astype(np.float32), np.arange(n - 1, -1, -1, dtype=np.int64)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Mix images, targets and every target-like extra."""
        return batch._replace(
            images=mix(batch.images, *draw),
            targets=mix(batch.targets, *draw),
            extras={name: mix(extra, *draw) for name, extra in batch.extras.items()},
        )
