"""The preprocessing of validation, prediction and export, which is stored with the weights.

Shapes: N images, H and W pixels of an image, S pixels of the network's input.
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
    """How an image becomes a network's input, without randomness (He et al. 2018, section 2.1).

    The shorter edge is scaled to `resize` pixels, and the centre of `image_size` pixels cut out.
    `mean` and `std`, on the scale 0 to 255 and in the order R, G, B, normalise it.
    """

    image_size: Annotated[int, AtLeast(1)]
    resize: Annotated[int, AtLeast(1)]
    mean: Colour
    std: Scale

    @classmethod
    def of(cls, data: DataConfig, image_size: int) -> Preprocessing:
        """Return the preprocessing at `image_size`; `resize` is ceil(image_size / eval_crop)."""
        # 42 / 0.7 = 60.00000000000001 is meant to be 60.
        resize = math.ceil(round(image_size / (data.eval_crop or EVAL_CROP), 6))
        return cls(image_size=image_size, resize=resize, mean=data.mean, std=data.std)

    @classmethod
    def for_evaluation(cls, data: DataConfig, image_size: int) -> Preprocessing:
        """Return the preprocessing of validation, at `data.eval_ratio` times `image_size`."""
        return cls.of(data, max(1, round(image_size * data.eval_ratio)))

    def crop(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale a uint8 image (H, W, 3) and cut out its centre, uint8 (3, S, S).

        Bilinear, with the filter wider when it shrinks.
        """
        # One call scales the pixels of the centre alone: scaled as a whole, a very long image could
        # need more memory than there is.
        height, width = image_HW3.shape[:2]
        short, size = min(width, height), self.image_size
        new_width, new_height = self.resize * width // short, self.resize * height // short
        left, top = round((new_width - size) / 2), round((new_height - size) / 2)
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, min((left + size) * x, width), min((top + size) * y, height))
        scaled = Image.fromarray(image_HW3).resize((size, size), Image.Resampling.BILINEAR, box=box)
        return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))

    def normalise(self, images_N3HW: Tensor) -> Tensor:
        """Normalise images (N, 3, H, W) of 0 to 255 to float32, by mean and std of the channel."""
        # By channel, with numbers of Python: a tensor of means would be copied from the host in
        # each step, and would not compile into its graph.
        images = images_N3HW.to(torch.float32)
        channels = [(images[:, c] - self.mean[c]) / self.std[c] for c in range(3)]
        return torch.stack(channels, dim=1)
