"""CutMix: paste a box of one image into another and mix the targets by area.

Shapes: N images of a batch, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.functional.boxes import around
from trickbag.functional.mixing import mix_targets, own_share, paste
from trickbag.ranges import MAX_EPOCHS, Above, AtLeast, Between
from trickbag.tricks.trick import START, Batch, Timestamp, Trick, require_partners

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.optim.config import TrainConfig

__all__ = ["CutMix", "cut_boxes", "own_share", "paste"]


def cut_boxes(lam_N: Tensor, centre_N2: Tensor, height: int, width: int) -> Tensor:
    """Return boxes (N, 4) with sides `sqrt(1 - lam) * (H, W)` around centres in [0, 1).

    Boxes are cut off at the edges of the image. A box can thus be smaller than 1 - lam of the
    image: weight the targets by `own_share`. Source: Yun et al. 2019, equation 2.
    """
    sides_N1 = (1 - lam_N).sqrt()[:, None]
    return around(centre_N2, sides_N1.expand(-1, 2), height, width)


@dataclass(frozen=True, kw_only=True)
class CutMix(Trick):
    """Paste a box of another image into each image and mix the targets by area.

    The box has the area 1 - lam of the image and its centre anywhere; lam is from Beta(alpha,
    alpha). `lam="batch"` draws one box for the whole batch, as the paper's code does, `"pair"` one
    for each image. Image i is paired with image N - 1 - i. A batch is mixed with the probability
    `prob`: 1 on ImageNet, 0.5 on CIFAR. The last `off_epochs` epochs train on unchanged images. The
    paper trains for 300 epochs, with and without CutMix.
    """

    name: ClassVar[str] = "cutmix"
    slot: ClassVar[str] = "mix"
    paper: ClassVar[str] = "Yun et al. 2019, arXiv 1905.04899, section 3.1"

    alpha: Annotated[float, Above(0, 1e6)] = 1.0
    lam: Literal["batch", "pair"] = "batch"
    prob: Annotated[float, Between(0, 1, open_low=True)] = 1.0
    off_epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)] = 0

    def training(self, training: TrainConfig) -> TrainConfig:
        """Return the training as it is; NoEffect without an epoch to mix in or a second image."""
        return require_partners(self.off_epochs, training)

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw lam (n,) and centre (n, 2) of each box, float32, and the partners (n,) int64."""
        import numpy as np

        boxes = n if self.lam == "pair" else 1
        lam, centre = np.empty(n, np.float32), np.empty((n, 2), np.float32)
        # With one box for the batch, the assignments repeat it n times.
        lam[:], centre[:] = rng.beta(self.alpha, self.alpha, boxes), rng.random((boxes, 2))
        if rng.random() >= self.prob or timestamp.epochs_left <= self.off_epochs:
            # An empty box, not another kind of draw: with the same shapes nothing is recompiled.
            lam[:] = 1
        return lam, centre, np.arange(n - 1, -1, -1, dtype=np.int64)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Paste the boxes; mix targets and extras by area."""
        lam, centre, partner = draw
        if self.lam == "batch":  # one row: the same box is one mask for all images
            lam, centre = lam[:1], centre[:1]
        height, width = batch.images.shape[2:]
        boxes = cut_boxes(lam, centre, height, width)
        images = paste(batch.images, boxes, partner, owned=batch.owned)
        return mix_targets(batch, images, own_share(boxes, height, width), partner)
