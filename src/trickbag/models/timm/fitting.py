"""What a run settles of a network of timm: the image size it is built for, its auxiliary head."""

from __future__ import annotations

import dataclasses
import functools

import torch

from trickbag.data.size import Size, height_width, size_text
from trickbag.errors import Note, UserError
from trickbag.models.config import TimmConfig
from trickbag.models.image_size import made_for_size
from trickbag.models.timm.network import fixes_image_size, network_on_shapes

__all__ = ["AUXILIARY_WEIGHT", "fit_timm"]

AUXILIARY_WEIGHT = 0.4
"""The weight of the loss of Inception-V3's auxiliary head, as its authors' code has it.

The code of the authors is TensorFlow's `models/research/inception`; torchvision's references have
the same weight.
"""


def fit_timm(config: TimmConfig, image_size: Size, smallest: Size) -> tuple[TimmConfig, list[Note]]:
    """Return a config for images of `image_size` px, with notes on what was settled.

    - A network that takes images of one size alone, and not of this one, is built for it. A size
      that the config sets stays.
    - A network that has an auxiliary head trains it with `AUXILIARY_WEIGHT` if `smallest`, the size
      of the smallest images of the run, is large enough for it, else without. A weight that the
      config sets stays.

    Raises UserError if timm has no such network, or if its auxiliary head is asked for and images
    are too small for it.
    """
    notes = []
    if config.image_size is None and _needs_size(config.name, config.in_channels, image_size):
        config = dataclasses.replace(config, image_size=image_size)
        notes.append(
            f"timm:{config.name} is built for images of {size_text(image_size)} px, where timm's "
            f"has {size_text(made_for_size(config))} px"
        )
    config, auxiliary_notes = _fit_auxiliary(config, smallest)
    return config, [Note("choice", None, reason) for reason in [*notes, *auxiliary_notes]]


def _fit_auxiliary(config: TimmConfig, smallest: Size) -> tuple[TimmConfig, list[str]]:
    weight = config.auxiliary_weight
    if weight == 0 or not _has_auxiliary(config.name):
        return config, []
    if _takes_in_training(config.name, config.in_channels, smallest):
        if weight is not None:
            return config, []
        reason = f"the auxiliary head of timm:{config.name} trains with weight {AUXILIARY_WEIGHT:g}"
        return dataclasses.replace(config, auxiliary_weight=AUXILIARY_WEIGHT), [reason]
    images = f"images of {size_text(smallest)} px"
    small = f"{images} are too small for the auxiliary head of timm:{config.name}"
    if weight is not None:
        raise UserError(
            f"model.auxiliary_weight = {weight:g}: {small}",
            "choose a larger --image-size, or --set model.auxiliary_weight=0",
        )
    return dataclasses.replace(config, auxiliary_weight=0.0), [f"{small}: it is left out"]


@functools.lru_cache(maxsize=512)  # building a network of timm takes up to seconds
def _needs_size(name: str, in_channels: int, image_size: Size) -> bool:
    """Tell whether a network takes images of that size only if it is built for them."""
    if not fixes_image_size(name):
        return False
    # Some networks have tables of positions and resample them for the images that they get. They
    # stay as timm builds them.
    return not _takes(TimmConfig(name=name, num_classes=1, in_channels=in_channels), image_size)


@functools.lru_cache(maxsize=512)
def _has_auxiliary(name: str) -> bool:
    from timm.models import is_model, model_entrypoint
    from timm.models.inception_v3 import InceptionV3

    # A wrong name is an error when the network is built.
    if not is_model(name):
        return False
    module = model_entrypoint(name).__module__
    # Most networks need not be built for the answer. timm's old names, which it maps to new ones,
    # are registered by its registry.
    if module not in (InceptionV3.__module__, "timm.models._registry"):
        return False
    return isinstance(network_on_shapes(TimmConfig(name=name, num_classes=1)), InceptionV3)


@functools.lru_cache(maxsize=512)
def _takes_in_training(name: str, in_channels: int, image_size: Size) -> bool:
    config = TimmConfig(
        name=name, num_classes=1, in_channels=in_channels, auxiliary_weight=AUXILIARY_WEIGHT
    )
    return _takes(config, image_size, training=True)


def _takes(config: TimmConfig, image_size: Size, *, training: bool = False) -> bool:
    """Tell whether a network takes images of a size; two go through it on shapes alone."""
    network = network_on_shapes(config).to("meta").train(training)
    images = torch.empty(2, config.in_channels, *height_width(image_size), device="meta")
    try:
        with torch.no_grad():
            network(images)
    except Exception:  # every network refuses in its own way
        return False
    return True
