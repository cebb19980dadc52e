"""Random erasing: fill a rectangle of random size, shape and place in some of the training images.

Shapes: N images of a batch, C channels, H and W pixels, M random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.functional.boxes import fill, within
from trickbag.settings import AtLeast, Between
from trickbag.tricks.trick import START, Batch, Phase, Timestamp, Trick, require_epochs

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.optim.config import TrainConfig

__all__ = ["RandomErasing", "fill", "pixel_noise", "within"]

_ATTEMPTS = 10
_NOISE = (
    4_099  # a prime: the rows of an image of any usual width start elsewhere in the list each time
)


def pixel_noise(noise_M: Tensor, n: int, channels: int, height: int, width: int) -> Tensor:
    """Lay a list of random numbers over `n` images, round and round: (n, C, H, W), without a copy for each image.

    Each image starts at another place of the list, so no two have the same noise at the same pixel.
    """
    import torch

    size, apart = (
        channels * height * width,
        7,
    )  # so short a list, for small images, stays in the nearest cache
    long = torch.cat([noise_M] * -(-(size + apart * (n - 1)) // len(noise_M)))
    return long.as_strided((n, channels, height, width), (apart, height * width, width, 1))


def normal_numbers(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` numbers of the standard normal distribution, float32, from 4,096 that are equally likely.

    Those are the quantiles of (k + 1/2) / 4,096, so none is beyond 3.7; a table is four times as
    fast as computing, where it fits beside the images in a processor's cache.
    """
    import numpy as np

    fours = rng.integers(0, 2**64, -(-n // 4), np.uint64)
    places = fours.view(np.uint16)[:n] >> 4
    return _quantiles().take(places, mode="wrap")  # all are in range: no need to check


@cache
def _quantiles() -> np.ndarray:
    import numpy as np
    import torch

    shares = (torch.arange(2**12, dtype=torch.float64) + 0.5) / 2**12
    return np.asarray(torch.special.ndtri(shares).float())


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Trick):
    """Fill a rectangle in each image with the probability `prob`: its area, shape and place are drawn for each.

    The area is a share of the image from `area`, height to width log-uniform from `ratio`; a pair
    of these that does not fit is drawn again, ten times at most, and the rectangle lies inside the
    image. `fill="pixel"` is noise, which all images take from one list of numbers (`pixel_noise`),
    `"color"` one colour for the rectangle, both from the standard normal distribution after
    normalisation; `"zero"` is the mean colour. The last `off_epochs` train on whole images.
    """

    name: ClassVar[str] = "random_erasing"
    phase: ClassVar[Phase] = "erase"
    paper: ClassVar[str] = "Zhong et al. 2017, arXiv 1708.04896, algorithm 1"

    prob: Annotated[float, Between(0, 1, open_low=True)] = 0.5
    area: tuple[
        Annotated[float, Between(0, 1, open_low=True)],
        Annotated[float, Between(0, 1, open_low=True)],
    ] = (
        0.02,
        0.4,
    )
    ratio: tuple[Annotated[float, Between(0.001, 1000)], Annotated[float, Between(0.001, 1000)]] = (
        0.3,
        1 / 0.3,
    )
    fill: Literal["zero", "color", "pixel"] = "pixel"
    off_epochs: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("area", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(
                    f"random_erasing.{name} = {low:g},{high:g}: the first value must not be above "
                    "the second"
                )
        smallest, (flat, high) = self.area[0], self.ratio
        if max(flat, smallest) * smallest >= 1 or high <= smallest:
            raise UserError(
                f"random_erasing.area = {smallest:g},{self.area[1]:g} and random_erasing.ratio = "
                f"{flat:g},{high:g}: no such rectangle lies inside a square image",
                "begin with a smaller area, or allow a ratio of 1",
            )

    def training(self, training: TrainConfig) -> TrainConfig:
        """Find out whether there is an epoch to erase in."""
        return require_epochs(self.off_epochs, training)

    @property
    def by_image(self) -> bool:
        """Whether what fills a rectangle is drawn for its image: single pixels share one list of
        noise."""
        return self.fill != "pixel"

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw corner and sides of each rectangle, (n, 2) each, as shares, and what fills it, (n, ...); float32.

        Images are square here. Sides of 0 leave an image as it is. Noise is a list of `_NOISE`
        numbers, in n rows.
        """
        import numpy as np

        chance_N, *shape = rng.random((3, n), np.float32)
        sides_2N = self._sides(*shape)
        for _ in range(1, _ATTEMPTS):
            missing = np.flatnonzero(np.maximum(*sides_2N) >= 1)
            if not len(missing):
                break
            sides_2N[:, missing] = self._sides(*rng.random((2, len(missing)), np.float32))
        else:
            sides_2N *= np.maximum(*sides_2N) < 1
        sides_2N *= (chance_N < self.prob) & (timestamp.epochs_left > self.off_epochs)
        if self.fill == "pixel":
            values = normal_numbers(n * -(-_NOISE // n), rng).reshape(n, -1)
        elif self.fill == "color":
            values = rng.standard_normal((n, 3, 1, 1), np.float32)
        else:
            values = np.zeros((n, 1, 1, 1), np.float32)
        return rng.random((n, 2), np.float32), np.ascontiguousarray(sides_2N.T), values

    def _sides(self, area_N: np.ndarray, ratio_N: np.ndarray) -> np.ndarray:
        """Return height and width (2, N) as shares, from numbers in [0, 1) for the places of area
        and ratio."""
        import numpy as np

        low, high = self.area
        least, most = map(math.log, self.ratio)
        area_N = low + (high - low) * area_N
        sides_2N = np.empty((2, len(area_N)), area_N.dtype)
        np.sqrt(area_N * np.exp(least + (most - least) * ratio_N), out=sides_2N[0])
        np.divide(area_N, sides_2N[0], out=sides_2N[1])
        return sides_2N

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Fill the rectangles."""
        corner, sides, values = draw
        n, channels, height, width = batch.images.shape
        if self.fill == "pixel":
            values = pixel_noise(values.flatten()[:_NOISE], n, channels, height, width)
        boxes = within(corner, sides, height, width)
        images = fill(batch.images, boxes, values.to(batch.images.dtype), owned=batch.owned)
        return batch._replace(images=images)
