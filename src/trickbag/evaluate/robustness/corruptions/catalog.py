"""All corruptions by name, and the function that applies one to a batch of images.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickbag.errors import UserError, choices
from trickbag.evaluate.robustness.corruptions import (
    blur,
    digital,
    elastic,
    glass,
    motion,
    noise,
    spatter,
    weather,
    zoom,
)
from trickbag.evaluate.robustness.corruptions import frost as frosted
from trickbag.evaluate.robustness.corruptions.corruption import Corruption, ImageSize
from trickbag.evaluate.robustness.corruptions.frost import FrostPictures, frost_pictures
from trickbag.evaluate.robustness.corruptions.tables import table_for

__all__ = ["CORRUPTIONS", "corrupt"]

_COLOUR = (3,)
_GREY_OR_COLOUR = (1, 3)

_IN_ORDER = (
    Corruption(
        name="gaussian_noise", group="noise", apply=noise.gaussian_noise, draw=noise.draw_normal
    ),
    Corruption(name="shot_noise", group="noise", apply=noise.shot_noise, draw=noise.draw_uniform),
    Corruption(
        name="impulse_noise", group="noise", apply=noise.impulse_noise, draw=noise.draw_uniform
    ),
    Corruption(name="defocus_blur", group="blur", apply=blur.defocus_blur),
    Corruption(name="glass_blur", group="blur", apply=glass.glass_blur, draw=glass.draw_shuffle),
    Corruption(name="motion_blur", group="blur", apply=motion.motion_blur, draw=motion.draw_angle),
    Corruption(name="zoom_blur", group="blur", apply=zoom.zoom_blur),
    Corruption(
        name="snow",
        group="weather",
        apply=weather.snow,
        draw=weather.draw_snow,
        channels=_GREY_OR_COLOUR,
    ),
    Corruption(
        name="frost",
        group="weather",
        apply=frosted.frost,
        draw=frosted.draw_frost,
        channels=_GREY_OR_COLOUR,
        pictures=True,
    ),
    Corruption(name="fog", group="weather", apply=weather.fog, draw=weather.draw_fog),
    Corruption(name="brightness", group="weather", apply=digital.brightness),
    Corruption(name="contrast", group="digital", apply=digital.contrast),
    Corruption(
        name="elastic_transform",
        group="digital",
        apply=elastic.elastic_transform,
        draw=elastic.draw_elastic,
    ),
    Corruption(name="pixelate", group="digital", apply=digital.pixelate),
    Corruption(
        name="jpeg_compression",
        group="digital",
        apply=digital.jpeg_compression,
        channels=_GREY_OR_COLOUR,
    ),
    Corruption(
        name="speckle_noise", group="extra", apply=noise.speckle_noise, draw=noise.draw_normal
    ),
    Corruption(name="gaussian_blur", group="extra", apply=blur.gaussian_blur),
    Corruption(
        name="spatter",
        group="extra",
        apply=spatter.spatter,
        draw=spatter.draw_spatter,
        channels=_GREY_OR_COLOUR,
    ),
    Corruption(name="saturate", group="extra", apply=digital.saturate, channels=_COLOUR),
)

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {corruption.name: corruption for corruption in _IN_ORDER}
)
"""The corruptions in the published order: 15 of the mean corruption error, then 4 extra ones."""

_CHUNK = 2**19
"""Values that are corrupted at once on a CPU: as many as its caches hold."""
_CHUNK_DEVICE = 2**24


def corrupt(
    images_NCHW: Tensor,
    name: str,
    severity: int,
    *,
    seed: int,
    index_N: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.integer]] | Tensor,
    table: str = "auto",
    frost: FrostPictures | Path | None = None,
) -> Tensor:
    """Corrupt images: uint8 (N, C, H, W) of any size on any device, to the same.

    severity: 1 to 5. index_N: the place of each image in its data set, which with the seed, the
    corruption and the severity determines its random numbers: what is made of an image depends
    neither on the batch nor on the device (but for a level, on one without float64). table:
    "imagenet_c", "tiny_imagenet_c", "cifar10_c", or "auto" for the one of the nearest image size;
    `table_for` says which that is. frost: the pictures of frost, or their folder; else those of
    the package imagecorruptions if it is installed, else generated ones, which
    `FrostPictures.comparable` tells apart.

    UserError for an unknown name, severity or table, for a dtype other than uint8, and for a
    number of channels that the corruption does not take.
    """
    if name not in CORRUPTIONS:
        raise UserError(f"{name!r} is not a corruption", f"there are {choices(CORRUPTIONS)}")
    index = [int(i) for i in index_N]
    size = _checked_size(images_NCHW, len(index))
    corruption = CORRUPTIONS[name]
    corruption.check(size[0])
    parameters = table_for(size[1], size[2], table).at(name, severity)
    apply = corruption.apply
    if corruption.pictures:
        pictures = frost if isinstance(frost, FrostPictures) else frost_pictures(frost)
        apply = partial(apply, pictures=pictures)
    device = images_NCHW.device
    values = _CHUNK if device.type == "cpu" else _CHUNK_DEVICE
    step = max(1, values // math.prod(size))
    chunks = []
    # Autocast would round where the values of a level are told apart.
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for start in range(0, len(index), step):
            rows = slice(start, start + step)
            numbers = [
                corruption.draws_of(seed, severity, i, size, parameters) for i in index[rows]
            ]
            chunks.append(apply(images_NCHW[rows], _stacked(numbers, device), parameters))
    return torch.cat(chunks) if chunks else images_NCHW.clone()


def _checked_size(images_NCHW: Tensor, indices: int) -> ImageSize:
    shape = tuple(images_NCHW.shape)
    if images_NCHW.dtype != torch.uint8 or len(shape) != 4 or 0 in shape[1:]:
        raise UserError(
            "corruptions need uint8 images (N, C, H, W) of at least a pixel; these are "
            f"{images_NCHW.dtype} of shape {shape}"
        )
    if indices != shape[0]:
        raise UserError(f"there are {shape[0]} images and {indices} indices of images")
    return shape[1], shape[2], shape[3]


def _stacked(
    numbers: Sequence[Mapping[str, np.ndarray[Any, Any]]], device: torch.device
) -> dict[str, Tensor]:
    """Return the draws of images as tensors: on the device, but for those of float64.

    These are few for each image, read one by one, and not every device has float64.
    """
    arrays = {key: np.stack([each[key] for each in numbers]) for key in numbers[0]}
    return {
        key: torch.from_numpy(array).to("cpu" if array.dtype == np.float64 else device)
        for key, array in arrays.items()
    }
