"""Conversion between levels of 0 to 255 and real numbers in [0, 1].

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["as_levels", "from_unit", "grey", "precise_type", "to_unit", "truncated"]

_TOLERANCE = {torch.float32: 2.0**-12, torch.float64: 2.0**-20}
"""In levels. The published scripts truncate; a value that is a level but for the rounding of
floating-point sums must not lose one by that."""

_GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance of ITU-R BT.601."""


def precise_type(device: torch.device) -> torch.dtype:
    """Return the type in which sums over pixels are computed: float64 where the device has it.

    The order of a sum depends on the batch and on the device. In float64 what that changes is far
    below a level, so that an image's corruption does not depend on the images beside it.
    """
    return torch.float32 if device.type == "mps" else torch.float64


def to_unit(images_NCHW: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map levels to [0, 1]."""
    return images_NCHW.to(dtype) / 255


def from_unit(values_NCHW: Tensor) -> Tensor:
    """Clip to [0, 1] and map to levels, truncated as in the published scripts."""
    return _truncated_in_place(values_NCHW.clamp(0, 1).mul_(255))


def as_levels(values_NCHW: Tensor) -> Tensor:
    """Truncate values, and clip them to levels."""
    return _truncated_in_place(values_NCHW.clamp(0, 255))


def _truncated_in_place(values: Tensor) -> Tensor:
    # The conversion itself truncates. Memory traffic is most of the time of a corruption.
    return values.add_(_TOLERANCE[values.dtype]).to(torch.uint8)


def truncated(values: Tensor) -> Tensor:
    """Truncate to whole numbers; what is below one by no more than rounding counts as that."""
    return (values + _TOLERANCE[values.dtype]).floor()


def grey(images_NCHW: Tensor) -> Tensor:
    """Return the luminance (N, 1, H, W) of colour images; grey images as they are."""
    if images_NCHW.shape[1] == 1:
        return images_NCHW
    red, green, blue = images_NCHW.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[:, None]
