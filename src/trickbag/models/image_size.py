"""The image size that a network is made for, and the centre crop of validation images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from trickbag.models.config import TimmConfig
from trickbag.models.published import published

if TYPE_CHECKING:
    from trickbag.data.size import Size
    from trickbag.models.config import ModelConfig

__all__ = ["ImageSize", "default_image_size", "made_for_size"]


class ImageSize(NamedTuple):
    """A size in pixels; in validation, `eval_crop` is its share of the scaled shorter edge."""

    image_size: Size
    eval_crop: float


IMAGENET = ImageSize(224, 0.875)
"""The size and crop of He et al. 2018, and of everybody since who names no other."""


def default_image_size(config: ModelConfig) -> ImageSize:
    """Return the size that a network is made for: 299 px for `inception_v3`, 224 for `resnet50`.

    This package's own networks have 224 px. A network of timm has the size that its config sets,
    else that of its published weights, and 224 px if timm names none.
    """
    if not isinstance(config, TimmConfig):
        return IMAGENET
    # A wrong name or tag is an error when the network is built; here it only means no size.
    of_timm = published(config.name)
    size = IMAGENET
    if of_timm is not None:
        size = ImageSize(of_timm.preprocessing.image_size, of_timm.eval_crop)
    if config.image_size in (None, size.image_size):
        return size
    return IMAGENET._replace(image_size=config.image_size)


def made_for_size(config: ModelConfig) -> Size:
    """Return the size in pixels for which a network is published, whatever its config sets."""
    if isinstance(config, TimmConfig):
        config = dataclasses.replace(config, image_size=None)
    return default_image_size(config).image_size
