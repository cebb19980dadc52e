"""Random erasing: fill a rectangle of random area, shape and position in some of the images.

Shapes: N images of a batch, C channels, H and W pixels, M random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.data.size import shorter_side
from trickbag.errors import UserError
from trickbag.functional.boxes import fill, within
from trickbag.ranges import MAX_EPOCHS, AtLeast, Between
from trickbag.tricks.trick import START, Batch, Phase, Timestamp, Trick, require_epochs

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from trickbag.data.config import DataConfig
    from trickbag.optim.config import TrainConfig

__all__ = ["RandomErasing", "fill", "pixel_noise", "within"]

Area = Annotated[float, Between(0, 1, open_low=True)]
Ratio = Annotated[float, Between(0.001, 1000)]

# Drawn for each image, whatever channels it has: with more they are repeated.
_COLOURS = 3
# As in timm and torchvision; the paper's code tries 100 times.
_ATTEMPTS = 10
# A prime: it shares no factor with the width of an image, so that the rows of an image start at
# different positions of the list.
_NOISE = 4_099
# Positions of the noise list between the starts of two images. A small number keeps the list for
# small images within the first-level cache.
_NOISE_STRIDE = 7


def pixel_noise(noise_M: Tensor, n: int, channels: int, height: int, width: int) -> Tensor:
    """Spread a list of random numbers over `n` images (n, C, H, W), repeated as often as needed.

    Each image starts at another position of the list, so neighbours have different noise at the
    same pixel. The result is a strided view: the images share memory, so it must not be written to.
    """
    import torch

    pixels = channels * height * width
    repeats = -(-(pixels + _NOISE_STRIDE * (n - 1)) // len(noise_M))
    strides = (_NOISE_STRIDE, height * width, width, 1)
    return torch.cat([noise_M] * repeats).as_strided((n, channels, height, width), strides)


def normal_numbers(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` float32 numbers from a table of 4,096 quantiles of the standard normal distribution.

    The quantiles are those of (k + 1/2) / 4,096, all equally likely; none is beyond 3.7. The table
    fits beside the images in the cache of a CPU and is four times as fast as computing.
    """
    import numpy as np

    # Each 64-bit draw gives four indices of 12 bits.
    draws = rng.integers(0, 2**64, -(-n // 4), np.uint64)
    indices = draws.view(np.uint16)[:n] >> 4
    # All indices are in range; "wrap" skips the check that "raise" makes.
    return _quantiles().take(indices, mode="wrap")


@cache
def _quantiles() -> np.ndarray:
    import numpy as np
    import torch

    probabilities = (torch.arange(2**12, dtype=torch.float64) + 0.5) / 2**12
    return np.asarray(torch.special.ndtri(probabilities).float())


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Trick):
    """Fill a rectangle of random area, shape and position in each image, with probability `prob`.

    The area is a uniform fraction of the image within `area`; height to width is log-uniform within
    `ratio`. A rectangle that does not fit is drawn again, at most ten times; it always lies inside
    the image. `fill="pixel"` fills with noise, which all images take from one list of numbers
    (`pixel_noise`), `"color"` with one colour; both are standard normal after normalisation.
    `"zero"` fills with the mean colour. The last `off_epochs` epochs train on unchanged images.
    """

    name: ClassVar[str] = "random_erasing"
    phase: ClassVar[Phase] = "erase"
    paper: ClassVar[str] = "Zhong et al. 2017, arXiv 1708.04896, algorithm 1"

    prob: Annotated[float, Between(0, 1, open_low=True)] = 0.5
    area: tuple[Area, Area] = (0.02, 0.4)
    ratio: tuple[Ratio, Ratio] = (0.3, 1 / 0.3)
    fill: Literal["zero", "color", "pixel"] = "pixel"
    off_epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("area", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(
                    f"random_erasing.{name} = {low:g},{high:g}: the first value must not be above "
                    "the second"
                )
        # With area a and ratio r the sides are sqrt(a r) and sqrt(a / r). Both are below 1 if r is
        # between a and 1 / a.
        smallest, (flat, high) = self.area[0], self.ratio
        if max(flat, smallest) * smallest >= 1 or high <= smallest:
            raise UserError(
                f"random_erasing.area = {smallest:g},{self.area[1]:g} and random_erasing.ratio = "
                f"{flat:g},{high:g}: no such rectangle lies inside a square image",
                "begin with a smaller area, or allow a ratio of 1",
            )

    def training(self, training: TrainConfig) -> TrainConfig:
        """Return the training as it is; NoEffect without an epoch to erase in."""
        return require_epochs(self.off_epochs, training)

    @property
    def by_image(self) -> bool:
        """Whether each image has its own fill; with `pixel` all images share one noise list."""
        return self.fill != "pixel"

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw corner (n, 2), sides (n, 2) and fill (n, ...) of each rectangle; float32.

        The corner and the sides are fractions of the image, which counts as square. Sides of 0
        leave an image unchanged. Noise is one list of at least `_NOISE` numbers, in n rows, because
        every array of a draw has a row for each image.
        """
        import numpy as np

        # The order of these draws is part of what a seed means: another one changes every run.
        chance_N, *shape = rng.random((3, n), np.float32)
        sides_2N = self._sides(*shape)
        for _ in range(1, _ATTEMPTS):
            too_large = np.flatnonzero(np.maximum(*sides_2N) >= 1)
            if not len(too_large):
                break
            sides_2N[:, too_large] = self._sides(*rng.random((2, len(too_large)), np.float32))
        else:  # what does not fit after the last attempt is not erased
            sides_2N *= np.maximum(*sides_2N) < 1
        sides_2N *= (chance_N < self.prob) & (timestamp.epochs_left > self.off_epochs)
        if self.fill == "pixel":
            values = normal_numbers(n * -(-_NOISE // n), rng).reshape(n, -1)
        elif self.fill == "color":
            values = rng.standard_normal((n, _COLOURS, 1, 1), np.float32)
        else:
            values = np.zeros((n, 1, 1, 1), np.float32)
        return rng.random((n, 2), np.float32), np.ascontiguousarray(sides_2N.T), values

    def _sides(self, area_N: np.ndarray, ratio_N: np.ndarray) -> np.ndarray:
        """Return height and width (2, N) as fractions of the image.

        `area_N` and `ratio_N` in [0, 1) choose from the ranges of area and ratio.
        """
        import numpy as np

        low, high = self.area
        log_low, log_high = map(math.log, self.ratio)
        area_N = low + (high - low) * area_N
        sides_2N = np.empty((2, len(area_N)), area_N.dtype)
        np.sqrt(area_N * np.exp(log_low + (log_high - log_low) * ratio_N), out=sides_2N[0])
        np.divide(area_N, sides_2N[0], out=sides_2N[1])
        return sides_2N

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Fill the rectangles."""
        corner, sides, values = draw
        n, channels, height, width = batch.images.shape
        if self.fill == "pixel":
            values = pixel_noise(values.flatten()[:_NOISE], n, channels, height, width)
        elif self.fill == "color" and channels != _COLOURS:
            values = values.repeat(1, -(-channels // _COLOURS), 1, 1)[:, :channels]
        boxes = within(corner, sides, height, width)
        images = fill(batch.images, boxes, values.to(batch.images.dtype), owned=batch.owned)
        return batch._replace(images=images)

    def works_at(self, data: DataConfig, timestamp: Timestamp) -> bool:
        """Tell whether there are rectangles, and the largest have a pixel: sides are rounded."""
        # Of rectangles of one area, the most square has the longest shorter side.
        ratio = min(max(1.0, self.ratio[0]), self.ratio[1])
        shorter = math.sqrt(self.area[1] * min(ratio, 1 / ratio))
        if data.image_size is not None and shorter * shorter_side(data.image_size) <= 0.5:
            return False
        return timestamp.epochs_left > self.off_epochs
