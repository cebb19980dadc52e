"""Changes of contrast, brightness and saturation, coarse pixels, and JPEG compression.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trickbag.evaluate.robustness.corruptions.corruption import Draws
from trickbag.evaluate.robustness.corruptions.levels import from_unit, precise_type, to_unit
from trickbag.evaluate.robustness.corruptions.parameters import SaturationChange

__all__ = ["brightness", "compress", "contrast", "jpeg_compression", "pixelate", "saturate"]


def contrast(images_NCHW: Tensor, draws: Draws, factor: float) -> Tensor:
    """Scale the differences from each channel's mean."""
    height, width = images_NCHW.shape[2:]
    # A sum of integers is exact in any order, so the mean does not depend on the batch.
    sums = images_NCHW.sum((2, 3), keepdim=True, dtype=torch.int64)
    means = sums.to(torch.float32) / (255 * height * width)
    return from_unit((to_unit(images_NCHW) - means) * factor + means)


def brightness(images_NCHW: Tensor, draws: Draws, summand: float) -> Tensor:
    """Add to the value of HSV, at the same hue and saturation.

    At a constant hue and saturation every channel is proportional to the value. Black has neither,
    and becomes grey.
    """
    images = to_unit(images_NCHW)
    value = images.amax(1, keepdim=True)
    brighter = (value + summand).clamp(max=1)
    return from_unit(
        torch.where(value > 0, images * (brighter / value.clamp(min=1 / 255)), brighter)
    )


def saturate(images_NCHW: Tensor, draws: Draws, change: SaturationChange) -> Tensor:
    """Scale and shift the saturation of HSV, at the same hue and value.

    At a constant hue and value a channel's distance from the value is proportional to the
    saturation. As in the published script, a grey pixel has the hue 0: what it gains is red.
    """
    images = to_unit(images_NCHW)
    value = images.amax(1, keepdim=True)
    distance = value - images
    saturation = distance.amax(1, keepdim=True) / value.clamp(min=1 / 255)
    changed = (saturation * change.factor + change.summand).clamp(0, 1)
    red = torch.tensor([0.0, 1.0, 1.0], device=images.device).reshape(1, 3, 1, 1)
    colourful = distance * (changed / saturation.clamp(min=1e-6))
    return from_unit(value - torch.where(saturation > 0, colourful, value * changed * red))


def pixelate(images_NCHW: Tensor, draws: Draws, share: float) -> Tensor:
    """Shrink the sides to a share with a box filter, and enlarge them again.

    Each pass rounds to levels, as Pillow does: first along the rows, then along the columns.
    """
    height, width = images_NCHW.shape[2:]
    images = images_NCHW.to(precise_type(images_NCHW.device))
    rows, columns = (
        torch.from_numpy(box_matrix(side, max(1, int(side * share))))
        .to(images.dtype)
        .to(images.device)
        for side in (height, width)
    )
    small = _rounded(rows @ _rounded(images @ columns.T))
    top, left = (
        torch.from_numpy(_nearest(few, side)).to(images.device)
        for few, side in ((len(rows), height), (len(columns), width))
    )
    return small[:, :, top][:, :, :, left].to(torch.uint8)


def _rounded(values: Tensor) -> Tensor:
    return (values + (0.5 + 2.0**-10)).floor()


def box_matrix(before: int, after: int) -> np.ndarray[Any, Any]:
    """Return the weights (after, before) of a box filter that shrinks a side to `after` pixels.

    A pixel counts if its centre is in the box, as in Pillow.
    """
    scale = before / after
    pixels, centres = np.arange(before), _centres(before, after)[:, None]
    # A centre may lie on the edge of a box. Which side it falls on is decided by rounding: these
    # are Pillow's expressions, in Pillow's order.
    first, beyond = ((centres + side * scale / 2 + 0.5).astype(np.int64) for side in (-1, 1))
    distance = (pixels - centres + 0.5) * (1 / scale)
    inside = (distance > -0.5) & (distance <= 0.5) & (pixels >= first) & (pixels < beyond)
    weights: np.ndarray[Any, Any] = inside / inside.sum(1, keepdims=True)
    return weights


def _nearest(before: int, after: int) -> np.ndarray[Any, Any]:
    """Return for each of `after` pixels the one of `before` that its centre lies in."""
    return _centres(before, after).astype(np.int64)


def _centres(before: int, after: int) -> np.ndarray[Any, Any]:
    """Return where the centres of `after` pixels lie among `before`, rounded as in Pillow."""
    return (np.arange(after) + 0.5) * (before / after)


def jpeg_compression(images_NCHW: Tensor, draws: Draws, quality: int) -> Tensor:
    """Compress at a quality of 1 to 100; on the CPU, image by image."""
    return compress(images_NCHW, quality)


def compress(images_NCHW: Tensor, quality: int) -> Tensor:
    """Encode as JPEG with Pillow's settings (colours at half resolution) and decode again.

    Images of 1 or 3 channels. The files of ImageNet-C are themselves JPEG of quality 85: with
    `compress(corrupted, 85)` images from memory are as those.
    """
    arrays = images_NCHW.cpu().numpy()
    results = [_recompressed(image, quality) for image in arrays]
    return torch.from_numpy(np.stack(results)).to(images_NCHW.device)


def _recompressed(image_CHW: np.ndarray[Any, Any], quality: int) -> np.ndarray[Any, Any]:
    pixels = image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(file))
    return decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)
