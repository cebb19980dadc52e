"""Colour jitter: each image's hue, saturation, brightness or contrast is scaled by random factors.

Shapes: N images of a batch, H and W pixels; RGB from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.settings import Between
from trickbag.tricks.trick import START, Batch, Moment, Phase, Trick

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["ColorJitter", "enhance", "scale_hsv"]

_CACHED = 2**21  # bytes of images: the second-level cache of a common processor


def scale_hsv(images_N3HW: Tensor, factors_N3: Tensor) -> Tensor:
    """Multiply hue, saturation and brightness of each image by its three factors, at least 0, in the HSV model.

    Hue, in [0, 1) from red through green and blue, is taken modulo 1 after that; saturation and brightness (the V of
    HSV, the largest of R, G, B) stop at their largest value. A colour next to red from the side of magenta moves far,
    one from the side of yellow hardly: that is what scaling an angle means. Source: He et al. 2018, section 2.1, which
    names the factors; the colour model is our reading.
    """
    import torch

    factors = factors_N3.to(images_N3HW.dtype)[:, :, None, None]
    red, green, blue = images_N3HW.unbind(dim=1)
    value = images_N3HW.amax(dim=1)
    chroma = value - images_N3HW.amin(dim=1)
    safe = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    # Hue in sixths of the circle; a grey pixel has none, and no chroma to show it by.
    hue = torch.remainder(torch.remainder(sixths, 6) * factors[:, 0], 6)
    saturation = (chroma / torch.where(value > 0, value, 1) * factors[:, 1]).clamp(max=1)
    value = (value * factors[:, 2]).clamp(max=255)
    channels = []
    for offset in (5, 3, 1):
        place = torch.remainder(offset + hue, 6)
        channels.append(value - value * saturation * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def enhance(images_N3HW: Tensor, factors_N3: Tensor, order_N3: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation of each image by its three factors, in its own order.

    Each is `f x + (1 - f) base`, clamped to 0..255: the base is black for brightness (0), the image's mean grey for
    contrast (1), the pixel's grey for saturation (2); grey is `0.299 R + 0.587 G + 0.114 B`. Row i of `order_N3` says
    which comes first, second and third for image i. Source: `RandomColorJitter` of MXNet, which the paper's code uses.
    """
    import torch

    factors = factors_N3.to(images_N3HW.dtype)
    few = max(1, _CACHED // max(1, images_N3HW[:1].nbytes))
    if images_N3HW.device.type != "cpu" or torch.compiler.is_compiling() or len(images_N3HW) <= few:
        return _enhance(images_N3HW, factors, order_N3)
    # A processor reads the pixels a dozen times: a few images at a time stay in its cache.
    images = torch.empty_like(images_N3HW)
    for start in range(0, len(images), few):
        part = slice(start, start + few)
        images[part] = _enhance(images_N3HW[part], factors[part], order_N3[part])
    return images


def _enhance(images_N3HW: Tensor, factors_N3: Tensor, order_N3: Tensor) -> Tensor:
    import torch

    images = images_N3HW
    for turn in range(3):
        which_N = order_N3[:, turn]
        rest = (1 - factors_N3.gather(1, which_N[:, None]))[:, :, None, None]
        grey = 0.299 * images[:, 0:1]
        grey.add_(images[:, 1:2], alpha=0.587).add_(images[:, 2:3], alpha=0.114)
        # The base is grey, a number for the image, or 0: sums of products, which cost less than `where`.
        number_N = grey.mean(dim=(1, 2, 3)) * (which_N == 1)
        base = grey.mul_((which_N == 2)[:, None, None, None]).add_(number_N[:, None, None, None])
        images = torch.lerp(images, base, rest) if turn == 0 else images.lerp_(base, rest)
        images = images.clamp_(0, 255)
    return images


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Trick):
    """Scale the colours of each image at random, by factors from 1 - strength to 1 + strength.

    `form="paper"`, the default: hue, saturation and brightness (section 2.1). `form="code"`: brightness, contrast and
    saturation in random order, as the code does that gave the published numbers.
    """

    name: ClassVar[str] = "color_jitter"
    phase: ClassVar[Phase] = "color"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 2.1"

    form: Literal["paper", "code"] = "paper"
    strength: Annotated[float, Between(0, 1, open_low=True)] = 0.4

    def draw(self, n: int, rng: np.random.Generator, moment: Moment = START) -> tuple[np.ndarray, ...]:
        """Draw the factors of each image, (n, 3) float32; for the code's form their order too, (n, 3) int64."""
        import numpy as np

        factors = rng.uniform(1 - self.strength, 1 + self.strength, size=(n, 3)).astype(np.float32)
        if self.form == "paper":
            return (factors,)
        return factors, rng.permuted(np.tile(np.arange(3, dtype=np.int64), (n, 1)), axis=1)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Change the colours of each image."""
        jitter = scale_hsv if self.form == "paper" else enhance
        return batch._replace(images=jitter(batch.images, *draw))
