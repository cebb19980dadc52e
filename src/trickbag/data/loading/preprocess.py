"""The preprocessing that validation, prediction and export share, stored with the weights.

Shapes: N images, H and W pixels of the file, S pixels of the network's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from PIL import Image

from trickbag.data.config import EVAL_CROP, Colour, Scale
from trickbag.settings import AtLeast, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["Preprocessing"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing(Settings):
    """How an image becomes a network's input when nothing is random (He et al. 2018, section 2.1).

    The shorter edge is scaled to `resize` pixels, the centre of `image_size` pixels cut out, and
    `mean` and `std`, on the 0-255 scale in the order R, G, B, taken out.
    """

    image_size: Annotated[int, AtLeast(1)]
    resize: Annotated[int, AtLeast(1)]
    mean: Colour
    std: Scale

    @classmethod
    def of(cls, data: DataConfig, image_size: int) -> Preprocessing:
        """Return the preprocessing of a recipe's data at `image_size`: `resize` is ceil(image_size
        / eval_crop)."""
        # A quotient such as 42 / 0.7 = 60.00000000000001 is meant to be whole.
        resize = math.ceil(round(image_size / (data.eval_crop or EVAL_CROP), 6))
        return cls(image_size=image_size, resize=resize, mean=data.mean, std=data.std)

    @classmethod
    def to_evaluate(cls, data: DataConfig, image_size: int) -> Preprocessing:
        """Return the preprocessing of validation images, of `data.eval_ratio` times the size of
        training images."""
        return cls.of(data, max(1, round(image_size * data.eval_ratio)))

    def crop(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale the shorter edge to `resize` and cut out the centre: uint8 (H, W, 3) to uint8 (3, S, S).

        Bilinear, with the filter widened when shrinking. Only the pixels of the centre are
        computed, so that a very long image costs no more than a square one.
        """
        height, width = image_HW3.shape[:2]
        short, size = min(width, height), self.image_size
        new_width, new_height = self.resize * width // short, self.resize * height // short
        left, top = round((new_width - size) / 2), round((new_height - size) / 2)
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, min((left + size) * x, width), min((top + size) * y, height))
        scaled = Image.fromarray(image_HW3).resize((size, size), Image.Resampling.BILINEAR, box=box)
        return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))

    def normalise(self, images_N3HW: Tensor) -> Tensor:
        """Subtract the mean and divide by the deviation of each channel: (N, 3, H, W) of 0 to 255 to float32.

        A pure function of the tensor, without a copy from the host, so that it compiles into the
        step.
        """
        images = images_N3HW.to(torch.float32)
        channels = [(images[:, c] - self.mean[c]) / self.std[c] for c in range(3)]
        return torch.stack(channels, dim=1)
