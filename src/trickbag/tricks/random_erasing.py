"""Random erasing: fill a rectangle of random size, shape and place in some of the training images.

Shapes: N images of a batch, C channels, H and W pixels, M random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.settings import AtLeast, Between, Positive
from trickbag.tricks.boxes import inside, regions, within
from trickbag.tricks.processor import one_by_one
from trickbag.tricks.trick import START, Batch, Moment, Phase, Trick, require_epochs

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.train.config import TrainConfig

__all__ = ["RandomErasing", "fill", "pixel_noise", "within"]

_ATTEMPTS = 10
_NOISE = 4_099  # a prime: the rows of an image of any usual width start elsewhere in the list each time


def fill(images_NCHW: Tensor, boxes_N4: Tensor, values: Tensor) -> Tensor:
    """Return the images with `values` in the box of each: integers top, bottom, left, right, the ends excluded.

    `values` is anything that broadcasts to the images: a colour (N, C, 1, 1), noise (N, C, H, W), a zero. Source:
    Zhong et al. 2017, algorithm 1.
    """
    import torch

    if one_by_one(images_NCHW):
        filled = images_NCHW.clone()
        values_NCHW = values.expand_as(filled)
        for i, region in regions(boxes_N4).items():
            filled[i][region] = values_NCHW[i][region]
        return filled
    height, width = images_NCHW.shape[2:]
    return torch.lerp(images_NCHW, values, inside(boxes_N4, height, width, images_NCHW.dtype))


def pixel_noise(noise_M: Tensor, n: int, channels: int, height: int, width: int) -> Tensor:
    """Lay a list of random numbers over `n` images, round and round: (n, C, H, W), without a copy for each image.

    Each image starts at another place of the list, so no two have the same noise at the same pixel.
    """
    size, apart = channels * height * width, 61
    length = size + apart * (n - 1)
    long = noise_M.repeat(-(-length // len(noise_M)))[:length]
    return long.unfold(0, size, apart).reshape(n, channels, height, width)


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Trick):
    """Fill a rectangle in each image with the probability `prob`: its area, shape and place are drawn for each.

    The area is a share of the image from `area`, height to width log-uniform from `ratio`; a pair of these that does
    not fit is drawn again, ten times at most, and the rectangle lies inside the image. `fill="pixel"` is noise, which
    all images take from one list of numbers (`pixel_noise`), `"color"` one colour for the rectangle, both from the
    standard normal distribution after normalisation; `"zero"` is the mean colour. The last `off_epochs` train on whole
    images.
    """

    name: ClassVar[str] = "random_erasing"
    phase: ClassVar[Phase] = "erase"
    paper: ClassVar[str] = "Zhong et al. 2017, arXiv 1708.04896, algorithm 1"

    prob: Annotated[float, Between(0, 1, open_low=True)] = 0.5
    area: tuple[Annotated[float, Between(0, 1, open_low=True)], Annotated[float, Between(0, 1, open_low=True)]] = (
        0.02,
        0.4,
    )
    ratio: tuple[Annotated[float, Positive], Annotated[float, Positive]] = (0.3, 1 / 0.3)
    fill: Literal["zero", "color", "pixel"] = "pixel"
    off_epochs: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("area", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(
                    f"random_erasing.{name} = {low:g},{high:g}: the first value must not be above the second"
                )

    def training(self, training: TrainConfig) -> TrainConfig:
        """Find out whether there is an epoch to erase in."""
        return require_epochs(self.off_epochs, training)

    @property
    def by_image(self) -> bool:
        """Whether what fills a rectangle is drawn for its image: single pixels share one list of noise."""
        return self.fill != "pixel"

    def draw(self, n: int, rng: np.random.Generator, moment: Moment = START) -> tuple[np.ndarray, ...]:
        """Draw corner and sides of each rectangle, (n, 2) each, as shares, and what fills it, (n, ...); float32.

        Images are square here. Sides of 0 leave an image as it is. Noise is a list of `_NOISE` numbers, in n rows.
        """
        import numpy as np

        on = (rng.random(n) < self.prob) & (moment.epochs_left > self.off_epochs)
        sides = np.zeros((n, 2))
        missing = np.arange(n)
        for _ in range(_ATTEMPTS):
            area = rng.uniform(*self.area, size=len(missing))
            ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), size=len(missing)))
            drawn = np.sqrt(np.column_stack([area * ratio, area / ratio]))
            fits = (drawn < 1).all(axis=1)
            sides[missing[fits]] = drawn[fits]
            missing = missing[~fits]
            if not len(missing):
                break
        shape = {"zero": (n, 1, 1, 1), "color": (n, 3, 1, 1), "pixel": (n, -(-_NOISE // n))}[self.fill]
        values = np.zeros(shape) if self.fill == "zero" else rng.standard_normal(shape, np.float32)
        made = (rng.random((n, 2)), sides * on[:, None], values)
        return tuple(item.astype(np.float32) for item in made)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Fill the rectangles."""
        corner, sides, values = draw
        n, channels, height, width = batch.images.shape
        if self.fill == "pixel":
            values = pixel_noise(values.flatten()[:_NOISE], n, channels, height, width)
        boxes = within(corner, sides, height, width)
        return batch._replace(images=fill(batch.images, boxes, values.to(batch.images.dtype)))
