"""The image size that a network is made for, and the centre crop that it is validated on at that
size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trickbag.models.config import TimmConfig

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["Size", "own_size"]


class Size(NamedTuple):
    """An image size in pixels; `eval_crop` is its share of the shorter edge in validation."""

    image_size: int
    eval_crop: float


IMAGENET = Size(224, 0.875)
"""What He et al. 2018 train and validate on, and everybody since who says nothing else."""


def own_size(config: ModelConfig) -> Size:
    """Return the size that a network is made for: 299 px for `inception_v3`, 528 for `efficientnet_b6`.

    Our own networks have 224 px; timm's have what timm says of their weights, and 224 px where it
    says nothing.
    """
    if not isinstance(config, TimmConfig):
        return IMAGENET
    from timm.models import get_pretrained_cfg, is_model

    if not is_model(config.name):
        return IMAGENET  # an error when it is built
    try:
        made_for = get_pretrained_cfg(config.name)
    except RuntimeError:  # no such tag: likewise
        made_for = None
    if made_for is None:
        return IMAGENET
    return Size(max(made_for.input_size[1:]), made_for.crop_pct)
