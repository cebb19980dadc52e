"""Colour jitter: each image's hue, saturation, brightness or contrast is scaled by random factors.

Shapes: N images of a batch, H and W pixels; RGB from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.functional.processor import at_a_time, one_by_one
from trickbag.settings import Between
from trickbag.tricks.trick import START, Batch, Phase, Timestamp, Trick

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["ColorJitter", "enhance", "scale_hsv"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # of grey


def scale_hsv(images_N3HW: Tensor, factors_N3: Tensor) -> Tensor:
    """Multiply hue, saturation and brightness of each image by its three factors, at least 0, in the HSV model.

    Hue, in [0, 1) from red through green and blue, is taken modulo 1 after that; saturation and
    brightness (the V of HSV, the largest of R, G, B) stop at their largest value. A colour next to
    red from the side of magenta moves far, one from the side of yellow hardly: that is what scaling
    an angle means. Source: He et al. 2018, section 2.1, which names the factors; the colour model
    is our reading.
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

    Each is `f x + (1 - f) base`, clamped to 0..255: the base is black for brightness (0), the
    image's mean grey for contrast (1), the pixel's grey for saturation (2); grey is `0.299 R +
    0.587 G + 0.114 B`. Row i of `order_N3` says which comes first, second and third for image i.
    Source: `RandomColorJitter` of MXNet, which the paper's code uses.
    """
    import torch

    images = torch.empty_like(images_N3HW)
    if one_by_one(images_N3HW):
        for image, own, *how in zip(
            images, images_N3HW, factors_N3.tolist(), order_N3.tolist(), strict=True
        ):
            _enhance_one_(image.copy_(own), *how)
        return images
    factors = factors_N3.to(images.dtype)
    mean, grey = (_RED * (order_N3 == which).to(factors.dtype) for which in (1, 2))
    weights_3N3 = torch.stack([mean, grey, 1 - factors.gather(1, order_N3)])[..., None, None, None]
    few = at_a_time(images_N3HW)
    for start in range(0, len(images), few):  # the pixels are read a dozen times
        part = slice(start, start + few)
        _enhance_(images[part].copy_(images_N3HW[part]), weights_3N3[:, part])
    return images


def _enhance_(images_N3HW: Tensor, weights_3N3: Tensor) -> None:
    """Enhance images in place; each turn weighs the mean grey and the pixel's, which are added up,
    and that base."""
    for mean, grey, rest in zip(*(weights.unbind(1) for weights in weights_3N3), strict=True):
        pixels = _grey(images_N3HW)
        # Sums of products cost less than `where`.
        number = pixels.mean(dim=(1, 2, 3), keepdim=True).mul_(mean)
        images_N3HW.lerp_(pixels.mul_(grey).add_(number), rest).clamp_(0, 255)


def _enhance_one_(image_3HW: Tensor, factors: list[float], order: list[int]) -> None:
    """Enhance one image in place; unlike the form for many it knows what each turn needs, and
    computes that alone."""
    for which in order:
        if which == 0:
            image_3HW.mul_(factors[0])
        else:
            grey = _grey(image_3HW).mul_(_RED)
            image_3HW.lerp_(grey if which == 2 else grey.mean(), 1 - factors[which])
        image_3HW.clamp_(0, 255)


def _grey(images_3HW: Tensor) -> Tensor:
    """Return the grey of pixels in units of red's weight: (..., 3, H, W) to (..., 1, H, W)."""
    import torch

    red, green, blue = (images_3HW[..., c : c + 1, :, :] for c in range(3))
    grey = torch.add(red, green, alpha=_GREEN / _RED)
    # Not `add_`: the compiler of torch 2.11 makes a product and a sum of it, which rounds twice.
    return torch.add(grey, blue, alpha=_BLUE / _RED)


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Trick):
    """Scale the colours of each image at random, by factors from 1 - strength to 1 + strength.

    `form="paper"`, the default: hue, saturation and brightness (section 2.1). `form="code"`:
    brightness, contrast and saturation in random order, as the code does that gave the published
    numbers.
    """

    name: ClassVar[str] = "color_jitter"
    phase: ClassVar[Phase] = "color"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 2.1"

    form: Literal["paper", "code"] = "paper"
    strength: Annotated[float, Between(0, 1, open_low=True)] = 0.4

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the factors of each image, (n, 3) float32; for the code's form their order too, (n,
        3) int64."""
        import numpy as np

        factors = rng.uniform(1 - self.strength, 1 + self.strength, size=(n, 3)).astype(np.float32)
        if self.form == "paper":
            return (factors,)
        return factors, rng.permuted(np.tile(np.arange(3, dtype=np.int64), (n, 1)), axis=1)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Change the colours of each image."""
        jitter = scale_hsv if self.form == "paper" else enhance
        return batch._replace(images=jitter(batch.images, *draw))
