"""Images scaled to another size, with a filter that widens when it shrinks them ("antialias").

Shapes: H and W pixels, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from trickbag.data.config import INTERPOLATION, Interpolation
from trickbag.data.loading.filters import FILTERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["channels_first", "pillow_resized", "resized"]


def resized(
    image_HWC: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: Interpolation = INTERPOLATION,
) -> NDArray[np.uint8]:
    """Scale a uint8 image (H, W, C) to a height and width; the result is (C, H, W).

    In memory its channels may lie behind each other, and it may be a view of the image.

    `bilinear` is by torch, and the same for any number of threads and of channels; on photos it is
    within one level of Pillow's, 0.02 in the mean, anywhere within two. `bicubic` is by Pillow.
    """
    if image_HWC.shape[:2] == size:
        return image_HWC.transpose(2, 0, 1)
    # torch's bicubic differs from Pillow's by up to 15 levels on photos, in 0.02 % of the values:
    # published networks are to see the pixels that they were trained with.
    if interpolation != "bilinear":
        return pillow_resized(image_HWC, size, interpolation).transpose(2, 0, 1)
    if size[1] == 1 and image_HWC.shape[2] > 4:
        # Of an image that is one pixel wide torch 2.15 computes the first channel alone.
        channels = np.moveaxis(image_HWC, 2, 0)[..., None]
        return np.concatenate([resized(channel, size) for channel in channels])
    # Copied where it is a part of an image, as torch would, or memory that must not be written.
    pixels = torch.from_numpy(np.require(image_HWC, requirements=("C", "W")))
    # A view: torch reads channels behind each other, three times as fast as channel by channel. By
    # its strides, the one of the batch among them, it chooses those of the result, which then takes
    # no copy that divides the channels.
    view = pixels[None].permute(0, 3, 1, 2)
    scaled = functional.interpolate(view, size, mode=interpolation, antialias=True)
    pixels_CHW: NDArray[np.uint8] = scaled[0].numpy()
    return pixels_CHW


def pillow_resized(
    image_HWC: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: Interpolation = INTERPOLATION,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[np.uint8]:
    """Scale an image, or a box of it whose edges may lie within pixels, by Pillow to (H, W, C).

    `box` is left, top, right, bottom. For what torch cannot do: edges within pixels, and `bicubic`.
    """
    height, width = size

    def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize((width, height), FILTERS[interpolation], box=box))

    if image_HWC.shape[2] == 3:
        return scaled(image_HWC)
    return np.stack([scaled(channel) for channel in np.moveaxis(image_HWC, 2, 0)], axis=2)


def channels_first(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, C) as (C, H, W), contiguous."""
    return np.ascontiguousarray(image_HWC.transpose(2, 0, 1))
