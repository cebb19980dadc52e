"""Mixup: train on weighted means of two images and of their targets.

Shapes: N images of a batch, K classes, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.functional.mixing import mix, mix_targets, weigh
from trickbag.settings import AtLeast, Positive
from trickbag.tricks.trick import START, Batch, Timestamp, Trick, require_epochs, require_partners

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.optim.config import TrainConfig

__all__ = ["Mixup", "halves", "mix", "weigh"]


def halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which two of `n` images make each mixed one, (n,) int64 each: Assemble's second type.

    With the halves x1 and x2 of the batch the pairs are x1 with x2, then x1 with x2 reversed. Where
    n is odd the last image is its own partner, and stays as it is. Source: Lee et al. 2020,
    `mixup_type=2` of the code.
    """
    import numpy as np

    half = n // 2
    first, second, rest = np.split(np.arange(n, dtype=np.int64), [half, 2 * half])
    return np.concatenate([first, first, rest]), np.concatenate([second, second[::-1], rest])


@dataclass(frozen=True, kw_only=True)
class Mixup(Trick):
    """Train on weighted means of two images and of their targets, the weight from Beta(alpha, alpha).

    `lam="batch"` draws one weight for the whole batch, as the paper's code does; `"pair"` one for
    each mixed image. `pairing="mirror"` pairs an image with its mirror place in the batch.
    Assemble's two types: `"double"` reads two images for each one of the batch and mixes them,
    `"halves"` mixes each of the first half twice, with one of the second. The last `off_epochs`
    train on plain images. The paper trains for 200 epochs in place of 120 with it.
    """

    name: ClassVar[str] = "mixup"
    slot: ClassVar[str] = "mix"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.4; Zhang et al. 2017, arXiv 1710.09412; "
        "Lee et al. 2020, arXiv 2001.06268"
    )
    paper_epochs: ClassVar[tuple[int, int] | None] = (200, 120)

    alpha: Annotated[float, Positive] = 0.2
    lam: Literal["batch", "pair"] = "batch"
    pairing: Literal["mirror", "double", "halves"] = "mirror"
    off_epochs: Annotated[int, AtLeast(0)] = 0

    @property
    def repeats(self) -> int:
        """Two images for each one of the batch where `pairing` is double."""
        return 2 if self.pairing == "double" else 1

    def training(self, training: TrainConfig) -> TrainConfig:
        """Find out whether there is an epoch to mix in, and whom to mix with."""
        require = require_epochs if self.pairing == "double" else require_partners
        return require(self.off_epochs, training)

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the weight of each mixed image, float32, and its partner, int64; for halves its
        first image too."""
        import numpy as np

        made = n // self.repeats
        lam = rng.beta(self.alpha, self.alpha, size=made if self.lam == "pair" else 1)
        off = timestamp.epochs_left <= self.off_epochs
        lam_N = np.empty(made, np.float32)
        lam_N[:] = 1 if off else lam
        if self.pairing == "mirror":
            return lam_N, np.arange(n - 1, -1, -1, dtype=np.int64)
        if self.pairing == "double":
            return lam_N, np.arange(made, n, dtype=np.int64)
        first, partner = halves(n)
        return lam_N, partner, np.arange(n, dtype=np.int64) if off else first

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Mix images, targets and every target-like extra."""
        lam, partner, *rest = draw
        if self.pairing == "mirror":
            return mix_targets(batch, mix(batch.images, lam, partner), lam, partner)

        def pair(values: Tensor) -> Tensor:
            own = (
                values[: len(lam)] if self.pairing == "double" else values.index_select(0, rest[0])
            )
            return weigh(own, values.index_select(0, partner), lam)

        index = (
            batch.index[: len(lam)]
            if self.pairing == "double"
            else batch.index.index_select(0, rest[0])
        )
        mixed = batch.map_labels(pair)
        return mixed._replace(images=pair(batch.images), index=index, owned=False)
