"""Mixup or CutMix: one of the two at random, for each batch or each image.

Shapes: N images of a batch, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.functional.boxes import around
from trickbag.functional.mixing import mix_targets, own_share, paste_and_mix
from trickbag.ranges import MAX_EPOCHS, Above, AtLeast, Between
from trickbag.tricks.trick import START, Batch, Timestamp, Trick, require_partners

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.optim.config import TrainConfig

__all__ = ["MixupCutMix", "mix_targets", "own_share", "paste_and_mix"]


@dataclass(frozen=True, kw_only=True)
class MixupCutMix(Trick):
    """Mix with CutMix at the probability `cutmix_prob`, else with mixup.

    The choice and the weights are drawn for each batch, or with `per="image"` for each image. A
    batch or an image is mixed at all with the probability `prob`. Image i is paired with image N -
    1 - i. The last `off_epochs` epochs train on unchanged images.
    """

    name: ClassVar[str] = "mixup_cutmix"
    slot: ClassVar[str] = "mix"
    paper: ClassVar[str] = (
        "Zhang et al. 2017, arXiv 1710.09412; Yun et al. 2019, arXiv 1905.04899; "
        "both in turns: Touvron et al. 2020, arXiv 2012.12877"
    )

    mixup_alpha: Annotated[float, Above(0, 1e6)] = 0.8
    cutmix_alpha: Annotated[float, Above(0, 1e6)] = 1.0
    cutmix_prob: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.5
    prob: Annotated[float, Between(0, 1, open_low=True)] = 1.0
    per: Literal["batch", "image"] = "batch"
    off_epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)] = 0

    def training(self, training: TrainConfig) -> TrainConfig:
        """Return the training as it is; NoEffect without an epoch to mix in or a second image."""
        return require_partners(self.off_epochs, training)

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw lam (n,) of mixup, side (n,) and centre (n, 2) of CutMix's box, and partners (n,).

        The partners are int64, the others float32. For each image lam is 1 (no mixup) or the side
        is 0 (no CutMix), or both.
        """
        import numpy as np

        draws = n if self.per == "image" else 1
        lam, cut_lam = (
            rng.beta(self.mixup_alpha, self.mixup_alpha, draws),
            rng.beta(self.cutmix_alpha, self.cutmix_alpha, draws),
        )
        centre = rng.random((draws, 2))
        cut, plain = rng.random(draws) < self.cutmix_prob, rng.random(draws) >= self.prob
        plain |= timestamp.epochs_left <= self.off_epochs
        # All numbers are drawn for every image, used or not: the shapes never change.
        lam = np.where(cut | plain, 1.0, lam)
        side = np.where(cut & ~plain, np.sqrt(1 - cut_lam), 0.0)
        rows = np.broadcast_to(np.column_stack([lam, side, centre]), (n, 4)).astype(np.float32)
        return rows[:, 0], rows[:, 1], rows[:, 2:], np.arange(n - 1, -1, -1, dtype=np.int64)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Mix or paste the images; mix targets and extras with the same weights."""
        lam, side, centre, partner = draw
        if self.per == "batch":  # one row: the same box is one mask for all images
            lam, side, centre = lam[:1], side[:1], centre[:1]
        height, width = batch.images.shape[2:]
        boxes = around(centre, side[:, None].expand(-1, 2), height, width)
        images = paste_and_mix(batch.images, boxes, lam, partner)
        return mix_targets(batch, images, lam * own_share(boxes, height, width), partner)
