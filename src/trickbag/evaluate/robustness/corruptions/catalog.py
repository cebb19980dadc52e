"""All corruptions by name, and the function that applies one to a batch of images.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

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
from trickbag.evaluate.robustness.corruptions.corruption import Corruption
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
    neither on the batch nor on the device. table: "imagenet_c", "tiny_imagenet_c", "cifar10_c",
    or "auto" for the one of the nearest image size; `table_for` says which that is. frost: the
    pictures of frost, or their folder; else those of the package imagecorruptions if it is
    installed, else generated ones, which `FrostPictures.comparable` tells apart.

    UserError for an unknown name, severity or table, for a dtype other than uint8, and for a
    number of channels that the corruption does not take.
    """
    if name not in CORRUPTIONS:
        raise UserError(f"{name!r} is not a corruption", f"there are {choices(CORRUPTIONS)}")
    if images_NCHW.dtype != torch.uint8 or images_NCHW.ndim != 4:
        raise UserError(
            f"corruptions need uint8 images (N, C, H, W); these are {images_NCHW.dtype} of shape "
            f"{tuple(images_NCHW.shape)}"
        )
    size = (images_NCHW.shape[1], images_NCHW.shape[2], images_NCHW.shape[3])
    index = [int(i) for i in index_N]
    if len(index) != len(images_NCHW):
        raise UserError(f"there are {len(images_NCHW)} images and {len(index)} indices of images")
    corruption = CORRUPTIONS[name]
    corruption.check(size[0])
    parameters = table_for(size[1], size[2], table).at(name, severity)
    apply = corruption.apply
    if corruption.pictures:
        pictures = frost if isinstance(frost, FrostPictures) else frost_pictures(frost)
        apply = partial(apply, pictures=pictures)
    values = _CHUNK if images_NCHW.device.type == "cpu" else _CHUNK_DEVICE
    step = max(1, values // max(1, images_NCHW[0].numel() if len(index) else 1))
    chunks = []
    for start in range(0, len(index), step):
        images = images_NCHW[start : start + step]
        numbers = [
            corruption.draws_of(seed, severity, i, size, parameters)
            for i in index[start : start + step]
        ]
        draws = {
            key: torch.from_numpy(np.stack([each[key] for each in numbers])).to(images.device)
            for key in numbers[0]
        }
        chunks.append(apply(images, draws, parameters))
    return torch.cat(chunks) if chunks else images_NCHW.clone()
