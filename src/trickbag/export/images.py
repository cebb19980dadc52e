"""Images on which an exported network is compared with its original.

Shapes: N images, H and W pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.annotations import open_annotated
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.mask_samples import evaluation_image
from trickbag.data.size import height_width
from trickbag.errors import TrickbagError
from trickbag.streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.size import Size
    from trickbag.evaluate.trained import Trained

__all__ = ["images_of_the_run", "images_to_check"]

_BLOCKS = 8
"""The number of coarse blocks on each side of a generated image."""


def images_to_check(trained: Trained, count: int = 8) -> tuple[NDArray[np.uint8], str]:
    """Return up to `count` images (N, C, H, W), cropped as in validation, and what they are.

    They are images of the run's data, or generated noise if its data is gone or not known.
    """
    preprocessing = trained.preprocessing
    images = images_of_the_run(trained, count)
    if images:
        if trained.task.kind == "segmentation":
            crops = [evaluation_image(image, preprocessing)[0] for image in images]
        else:
            crops = [preprocessing.crop(image) for image in images]
        return np.stack(crops), f"{len(crops)} images of its data"
    pixels = _generated(count, preprocessing.count, preprocessing.image_size)
    return pixels, f"{count} generated images"


def images_of_the_run(trained: Trained, count: int) -> list[NDArray[np.uint8]]:
    """Return up to `count` images (H, W, C) of the run's data; none if these are gone."""
    if trained.record is None:
        return []
    try:
        source = open_annotated(trained.record.data, trained.task.annotations)
    except TrickbagError:
        return []
    part = next(source.parts[name] for name in ("val", "test", "train") if name in source.parts)
    part = replace(part, pixels=trained.preprocessing.pixels)
    images = []
    # Spread over the part: the images of a folder are in the order of their classes.
    for i in np.linspace(0, len(part) - 1, min(count, len(part))).astype(int).tolist():
        try:
            images.append(part.read(i))
        except DecodeError:
            continue
    return images


def _generated(count: int, channels: int, size: Size) -> NDArray[np.uint8]:
    """Return images (count, channels, H, W) of coarse blocks and fine noise."""
    rng = stream(0, "export")
    coarse = rng.normal(128, 60, (count, channels, _BLOCKS, _BLOCKS))
    height, width = height_width(size)
    blocks = coarse.repeat(-(-height // _BLOCKS), axis=2).repeat(-(-width // _BLOCKS), axis=3)
    blocks = blocks[:, :, :height, :width]
    return (blocks + rng.normal(0, 30, blocks.shape)).clip(0, 255).astype(np.uint8)
