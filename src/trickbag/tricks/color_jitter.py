"""Colour jitter: random factors scale the hue, saturation, brightness or contrast of each image.

Shapes: N images of a batch, H and W pixels; RGB from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.functional.processor import chunk_size, one_by_one
from trickbag.ranges import Between
from trickbag.tricks.trick import START, Batch, Phase, Timestamp, Trick

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["ColorJitter", "enhance", "scale_hsv"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # weights of the channels in grey (ITU-R BT.601)


def scale_hsv(images_N3HW: Tensor, factors_N3: Tensor) -> Tensor:
    """Multiply hue, saturation and brightness of each image by its three factors, in HSV.

    The factors are at least 0. Hue, in [0, 1) from red through green and blue, is taken modulo 1
    after the product. Saturation and brightness (V of HSV: the maximum of R, G and B) are clamped
    to their maximum. Scaling an angle treats the two sides of red differently: a hue just below 1
    (magenta) moves far, a hue just above 0 (yellow) hardly moves. Source: He et al. 2018, section
    2.1, which names the factors; that the colour model is HSV is our interpretation.
    """
    import torch

    factors = factors_N3.to(images_N3HW.dtype)[:, :, None, None]
    red, green, blue = images_N3HW.unbind(dim=1)
    value = images_N3HW.amax(dim=1)
    chroma = value - images_N3HW.amin(dim=1)
    # Where chroma or value is 0 the dividend is 0 too: any divisor but 0 avoids NaN.
    safe = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    # Hue in sixths of the circle. A grey pixel has no hue; any value does, as its chroma is 0.
    hue = torch.remainder(torch.remainder(sixths, 6) * factors[:, 0], 6)
    saturation = (chroma / torch.where(value > 0, value, 1) * factors[:, 1]).clamp(max=1)
    value = (value * factors[:, 2]).clamp(max=255)
    # HSV to RGB without branches: v - v s max(0, min(k, 4 - k, 1)), k = (n + h) mod 6, and n is 5
    # for red, 3 for green, 1 for blue.
    channels = []
    for offset in (5, 3, 1):
        place = torch.remainder(offset + hue, 6)
        channels.append(value - value * saturation * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def enhance(images_N3HW: Tensor, factors_N3: Tensor, order_N3: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation of each image by its three factors, in its order.

    Each enhancement is `f x + (1 - f) base`, clamped to 0..255. The base is black for brightness
    (0), the image's mean grey for contrast (1), the pixel's grey for saturation (2); grey is `0.299
    R + 0.587 G + 0.114 B`. Row i of `order_N3` holds the numbers of the first, second and third
    enhancement of image i. Source: `RandomColorJitter` of MXNet, which the paper's code uses.
    """
    import torch

    images = torch.empty_like(images_N3HW)
    if one_by_one(images_N3HW):
        rows = zip(images, images_N3HW, factors_N3.tolist(), order_N3.tolist(), strict=True)
        for enhanced, image, factors_3, order_3 in rows:
            _enhance_image_(enhanced.copy_(image), factors_3, order_3)
        return images
    factors = factors_N3.to(images.dtype)
    # `_grey` returns grey in units of red's weight; the factor `_RED` turns it into grey.
    mean, grey = (_RED * (order_N3 == kind).to(factors.dtype) for kind in (1, 2))
    weights_3N3 = torch.stack([mean, grey, 1 - factors.gather(1, order_N3)])[..., None, None, None]
    # The pixels are read a dozen times: a chunk that stays in the cache makes that cheap.
    chunk = chunk_size(images_N3HW)
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        _enhance_batch_(images[part].copy_(images_N3HW[part]), weights_3N3[:, part])
    return images


def _enhance_batch_(images_N3HW: Tensor, weights_3N3: Tensor) -> None:
    """Apply the three enhancements to a batch, in place.

    For each of the three turns `weights_3N3` has the weight of the image's mean grey and of the
    pixel's grey, whose sum is the base, and the weight of that base.
    """
    for mean, grey, base in zip(*(weights.unbind(1) for weights in weights_3N3), strict=True):
        pixels = _grey(images_N3HW)
        # Images of one batch are at different enhancements. A sum of products with weights of 0
        # serves all of them, and costs less than `where`.
        constant = pixels.mean(dim=(1, 2, 3), keepdim=True).mul_(mean)
        images_N3HW.lerp_(pixels.mul_(grey).add_(constant), base).clamp_(0, 255)


def _enhance_image_(image_3HW: Tensor, factors_3: list[float], order_3: list[int]) -> None:
    """Apply the three enhancements to one image, in place, computing only what each one needs."""
    for kind in order_3:
        if kind == 0:
            image_3HW.mul_(factors_3[0])
        else:
            grey = _grey(image_3HW).mul_(_RED)
            image_3HW.lerp_(grey if kind == 2 else grey.mean(), 1 - factors_3[kind])
        image_3HW.clamp_(0, 255)


def _grey(images_3HW: Tensor) -> Tensor:
    """Return the grey of pixels in units of red's weight: (..., 3, H, W) to (..., 1, H, W)."""
    import torch

    red, green, blue = (images_3HW[..., c : c + 1, :, :] for c in range(3))
    grey = torch.add(red, green, alpha=_GREEN / _RED)
    # Not `add_`: torch 2.11 compiles that to a product and a sum, which rounds twice.
    return torch.add(grey, blue, alpha=_BLUE / _RED)


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Trick):
    """Scale the colours of each image by random factors from 1 - strength to 1 + strength.

    `form="paper"`, the default, scales hue, saturation and brightness (section 2.1). `form="code"`
    scales brightness, contrast and saturation in random order, as in the code that produced the
    published numbers.
    """

    name: ClassVar[str] = "color_jitter"
    phase: ClassVar[Phase] = "color"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 2.1"
    needs_rgb: ClassVar[bool] = True

    form: Literal["paper", "code"] = "paper"
    strength: Annotated[float, Between(0, 1, open_low=True)] = 0.4

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the factors of each image, (n, 3) float32; with form "code" also the order.

        The order is (n, 3) int64.
        """
        import numpy as np

        factors = rng.uniform(1 - self.strength, 1 + self.strength, size=(n, 3)).astype(np.float32)
        if self.form == "paper":
            return (factors,)
        # Not `permutation`, which would give all images the same order.
        return factors, rng.permuted(np.tile(np.arange(3, dtype=np.int64), (n, 1)), axis=1)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Change the colours of each image."""
        jitter = scale_hsv if self.form == "paper" else enhance
        return batch._replace(images=jitter(batch.images, *draw))
