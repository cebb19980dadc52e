"""The preprocessing of validation, prediction and export, which is stored with the weights.

Shapes: N images, H and W pixels of an image, S pixels of the network's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from PIL import Image

from trickbag.data.config import (
    EVAL_CROP,
    INTERPOLATION,
    MAX_IMAGE_SIZE,
    MEAN,
    STD,
    Colour,
    Interpolation,
    Scale,
)
from trickbag.data.loading.crops import FILTERS, planes
from trickbag.settings import AtLeast, Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["LONGEST", "Preprocessing", "resize_of"]

LONGEST = 16
"""The largest ratio of an image's edges at which it is scaled as a whole."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing(Settings):
    """How an image becomes a network's input, without randomness (He et al. 2018, section 2.1).

    The shorter edge is scaled to `resize` pixels, and the centre of `image_size` pixels cut out.
    `mean` and `std`, on the scale 0 to 255 and in the order R, G, B, normalise it. Files that were
    written before `interpolation` existed are bilinear.
    """

    introduced_later: ClassVar[tuple[str, ...]] = ("interpolation",)

    image_size: Annotated[int, AtLeast(1, MAX_IMAGE_SIZE)]
    resize: Annotated[int, AtLeast(1, 1_000_000)]
    mean: Colour
    std: Scale
    interpolation: Interpolation = INTERPOLATION

    @classmethod
    def of(cls, data: DataConfig, image_size: int) -> Preprocessing:
        """Return the preprocessing at `image_size`; `resize` is ceil(image_size / eval_crop).

        Settings that are left open have their defaults.
        """
        return cls(
            image_size=image_size,
            resize=resize_of(image_size, data.eval_crop or EVAL_CROP),
            mean=data.mean or MEAN,
            std=data.std or STD,
            interpolation=data.interpolation or INTERPOLATION,
        )

    @classmethod
    def for_evaluation(cls, data: DataConfig, image_size: int) -> Preprocessing:
        """Return the preprocessing of validation, at `data.eval_ratio` times `image_size`."""
        return cls.of(data, max(1, round(image_size * data.eval_ratio)))

    def crop(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale a uint8 image (H, W, 3) and cut out its centre, uint8 (3, S, S).

        By Pillow, with the filter wider when it shrinks. Bicubic crops have the pixels of timm's
        and torchvision's transforms, but for images more than LONGEST times as long as they are
        wide; bilinear ones can differ from these by one level.
        """
        height, width = image_HW3.shape[:2]
        image, kernel = Image.fromarray(image_HW3), FILTERS[self.interpolation]
        short, size = min(width, height), self.image_size
        new_width, new_height = self.resize * width // short, self.resize * height // short
        left, top = round((new_width - size) / 2), round((new_height - size) / 2)
        long = max(new_width, new_height)
        if (
            self.interpolation == "bicubic"
            and size <= self.resize
            and long <= LONGEST * self.resize
        ):
            box = (left, top, left + size, top + size)
            return planes(image.resize((new_width, new_height), kernel).crop(box))
        # One call scales the pixels of the centre alone: scaled as a whole, a very long image could
        # need more memory than there is.
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, min((left + size) * x, width), min((top + size) * y, height))
        return planes(image.resize((size, size), kernel, box=box))

    def normalise(self, images_N3HW: Tensor) -> Tensor:
        """Normalise images (N, 3, H, W) of 0 to 255 to float32, by mean and std of the channel."""
        # By channel, with numbers of Python: a tensor of means would be copied from the host in
        # each step, and would not compile into its graph.
        images = images_N3HW.to(torch.float32)
        channels = [(images[:, c] - self.mean[c]) / self.std[c] for c in range(3)]
        return torch.stack(channels, dim=1)


def resize_of(image_size: int, eval_crop: float) -> int:
    """Return the pixels to which the shorter edge is scaled: ceil(image_size / eval_crop)."""
    # 42 / 0.7 = 60.00000000000001 is meant to be 60.
    return math.ceil(round(image_size / eval_crop, 6))
