"""Weights for images of three channels, made to fit a network that takes another number of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from trickbag.models.config import ModelConfig

__all__ = ["input_weights", "with_input_channels"]

_RGB = 3


def input_weights(weights_O3HW: Tensor, channels: int) -> Tensor:
    """Return the weights of a first layer for `channels` channels, (O, C, H, W).

    For one channel they are summed, as if the image were grey in three equal channels. For others
    they are repeated and scaled by 3 / C, so that the sum over equal channels stays about the same.
    Source: timm's `adapt_input_conv`.
    """
    if channels == 1:
        return weights_O3HW.sum(dim=1, keepdim=True)
    repeated = weights_O3HW.repeat(1, math.ceil(channels / _RGB), 1, 1)[:, :channels]
    return repeated * (_RGB / channels)


def with_input_channels(
    network: nn.Module, tensors: Mapping[str, Tensor], origin: str, config: ModelConfig | None
) -> tuple[Mapping[str, Tensor], list[Note]]:
    """Return weights whose first layers fit the channels of the images, and a note on these layers.

    They are the convolutions that differ from those of the network in nothing but three channels
    for the `in_channels` of its config.
    """
    if config is None or config.in_channels == _RGB:
        return tensors, []
    channels, present = config.in_channels, network.state_dict()
    adapted = {
        name: input_weights(tensor, channels)
        for name, tensor in tensors.items()
        if name in present
        and tensor.ndim == 4
        and tensor.shape[1] == _RGB
        and present[name].shape == (tensor.shape[0], channels, *tensor.shape[2:])
    }
    if not adapted:
        return tensors, []
    reason = f"{', '.join(adapted)} of {origin}, for 3 channels, adapted to {channels}"
    return {**tensors, **adapted}, [Note("weights", None, reason)]
