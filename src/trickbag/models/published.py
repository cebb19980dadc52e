"""What timm's config of a network says about the images of its published weights."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from trickbag.data.config import RESIZE, Resize
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import Size, as_size, height_width

__all__ = ["Published", "published"]

_CROP_MODES: Mapping[str, Resize] = MappingProxyType({"squash": "squash", "border": "letterbox"})
"""The values of `data.resize` by timm's words."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The images for which timm's weights of a network were trained.

    `name` is timm's name of the network, with the tag of the weights if they have one.
    `preprocessing` is that of timm's own evaluation; `eval_crop` is the share of the scaled image's
    side that its centre crop has, at most 1. `other_tags` are the further tags of a network that
    was named without one, by the setting of the data in which they differ. `fixed_size` says that
    the network is built for one image size, which timm takes as `img_size`.
    """

    name: str
    preprocessing: Preprocessing
    eval_crop: float
    other_tags: Mapping[str, tuple[str, ...]]
    fixed_size: bool = False

    def resize(self, image_size: Size) -> Size:
        """Return the size to which timm scales an image for a crop of `image_size`."""
        return _resized(image_size, self.eval_crop)


@functools.lru_cache(maxsize=64)  # a study asks for each of its trials
def published(name: str) -> Published | None:
    """Return what timm's config of a network says; None for a name or tag that timm lacks.

    `name` is timm's, such as `resnet50` or `resnet50.tv_in1k`. Without a tag it means the tag that
    timm itself loads.
    """
    from timm.models import get_pretrained_cfg, is_model

    if not is_model(name):
        return None
    try:
        config: Any = get_pretrained_cfg(name)
    except RuntimeError:  # a tag that timm does not know
        return None
    if config is None:
        return None
    architecture, _, tag = name.partition(".")
    facts, others = _facts(config), {}
    if not tag:
        tag = config.tag or ""
        by_tag = {
            other.partition(".")[2]: _facts(get_pretrained_cfg(other))
            for other in _with_weights().get(architecture, ())
        }
        for fact, value in facts.items():
            differing = tuple(other for other, values in by_tag.items() if values[fact] != value)
            if differing:
                others[fact] = differing
    size = as_size(*config.input_size[1:])
    return Published(
        name=f"{architecture}.{tag}" if tag else architecture,
        preprocessing=Preprocessing(
            image_size=size,
            resize=_resized(size, facts["eval_crop"]),
            mean=facts["mean"],
            std=facts["std"],
            interpolation=facts["interpolation"],
            resize_policy=facts["resize"],
        ),
        eval_crop=facts["eval_crop"],
        other_tags=MappingProxyType(others),
        # What timm goes by when it passes `img_size` itself.
        fixed_size=bool(config.fixed_input_size),
    )


def _facts(config: Any) -> dict[str, Any]:
    """Return what a config of timm says, by the settings of the data that take it."""
    return {
        "mean": tuple(255 * value for value in config.mean),
        "std": tuple(255 * value for value in config.std),
        "interpolation": config.interpolation,
        # Above 1, timm pads the image with black.
        "eval_crop": min(1.0, config.crop_pct),
        # As timm reads it: any other word is its default.
        "resize": _CROP_MODES.get(config.crop_mode, RESIZE),
    }


def _resized(image_size: Size, eval_crop: float) -> Size:
    # Rounded down as in timm's own transforms, by which its accuracies are measured.
    height, width = (math.floor(side / eval_crop) for side in height_width(image_size))
    return as_size(height, width)


@functools.cache
def _with_weights() -> dict[str, list[str]]:
    """Return timm's names with tag of all published weights, by the name without it."""
    from timm.models import list_pretrained

    names: dict[str, list[str]] = defaultdict(list)
    for name in list_pretrained():
        names[name.partition(".")[0]].append(name)
    return dict(names)
