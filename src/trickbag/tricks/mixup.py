"""Mixup: train on weighted means of pairs of images and of their targets.

Shapes: N images of a batch, K classes, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.functional.mixing import mix, mix_targets, select_rows, weigh
from trickbag.ranges import MAX_EPOCHS, Above, AtLeast
from trickbag.tricks.trick import START, Batch, Timestamp, Trick, require_epochs, require_partners

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.optim.config import TrainConfig

__all__ = ["Mixup", "halves", "mix", "weigh"]


def halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the first and the second image of each of `n` pairs, (n,) int64 each.

    With the halves x1 and x2 of the batch, the pairs are x1 with x2, then x1 with x2 reversed. With
    an odd n the last image is its own partner and stays as it is. Source: Lee et al. 2020,
    `mixup_type=2` of the code.
    """
    import numpy as np

    half = n // 2
    first, second, rest = np.split(np.arange(n, dtype=np.int64), [half, 2 * half])
    return np.concatenate([first, first, rest]), np.concatenate([second, second[::-1], rest])


@dataclass(frozen=True, kw_only=True)
class Mixup(Trick):
    """Train on weighted means of two images and of their targets; weights from Beta(alpha, alpha).

    `lam="batch"` draws one weight for the whole batch, as the paper's code does, `"pair"` one for
    each mixed image. `pairing="mirror"` pairs image i with image N - 1 - i. The other two are from
    Lee et al. 2020: `"double"` reads two images for each image of the batch and mixes them;
    `"halves"` mixes each image of the first half with two of the second. The last `off_epochs`
    epochs train on unchanged images. The paper trains for 200 epochs with mixup, 120 without.
    """

    name: ClassVar[str] = "mixup"
    slot: ClassVar[str] = "mix"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.4; Zhang et al. 2017, arXiv 1710.09412; "
        "Lee et al. 2020, arXiv 2001.06268"
    )
    paper_epochs: ClassVar[tuple[int, int] | None] = (200, 120)

    alpha: Annotated[float, Above(0, 1e6)] = 0.2
    lam: Literal["batch", "pair"] = "batch"
    pairing: Literal["mirror", "double", "halves"] = "mirror"
    off_epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)] = 0

    @property
    def repeats(self) -> int:
        """2 if `pairing` is double, because each mixed image needs two; else 1."""
        return 2 if self.pairing == "double" else 1

    def training(self, training: TrainConfig) -> TrainConfig:
        """Return the training as it is; NoEffect without an epoch to mix in or a second image."""
        require = require_epochs if self.pairing == "double" else require_partners
        return require(self.off_epochs, training)

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the weight (float32) and the partner (int64) of each mixed image, (N,) each.

        With `halves` the index of the first image of each pair comes third.
        """
        import numpy as np

        mixed = n // self.repeats
        lam = rng.beta(self.alpha, self.alpha, size=mixed if self.lam == "pair" else 1)
        off = timestamp.epochs_left <= self.off_epochs
        lam_N = np.empty(mixed, np.float32)
        lam_N[:] = 1 if off else lam
        if self.pairing == "mirror":
            return lam_N, np.arange(n - 1, -1, -1, dtype=np.int64)
        if self.pairing == "double":
            return lam_N, np.arange(mixed, n, dtype=np.int64)
        first, partner = halves(n)
        # With a weight of 1 alone, `halves` would show the first half of the batch twice.
        return lam_N, partner, np.arange(n, dtype=np.int64) if off else first

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Mix the images; mix targets and extras with the same weights."""
        lam, partner, *rest = draw
        if self.pairing == "mirror":
            return mix_targets(batch, mix(batch.images, lam, partner), lam, partner)

        def first(values: Tensor) -> Tensor:
            if self.pairing == "double":
                return values[: len(lam)]
            return select_rows(values, rest[0])

        def mix_pairs(values: Tensor) -> Tensor:
            return weigh(first(values), select_rows(values, partner), lam)

        # With `halves` the code of Lee et al. mixes labels into half of the teacher's targets. This
        # bug is not repeated here.
        mixed = batch.map_labels(mix_pairs)
        return mixed._replace(images=mix_pairs(batch.images), index=first(batch.index), owned=False)
