"""Compound scaling: multiply a network's depth, its width and the size of the images together.

Source: Tan & Le 2019 (arXiv 1905.11946), section 3.3, equation 3.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from trickbag.data.size import size_text
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.data.size import Size
    from trickbag.models.config import OwnConfig

    Own = TypeVar("Own", bound=OwnConfig)

__all__ = ["Factors", "compound", "fit_width", "scaled"]

_WIDEST = 64.0
_STEP = 1e-3
"""The relative step between two widths: smaller than 8 of 512 channels in the widest stage."""

_DEFAULT_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The factors of a network's depth, of its width, and of the side of its images."""

    depth: float
    width: float
    size: float


def compound(phi: float, *, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> Factors:
    """Return the factors alpha^phi of the depth, beta^phi of the width, gamma^phi of the size.

    If alpha beta^2 gamma^2 is about 2, the work is multiplied by about 2^phi. The defaults are the
    values that the paper found for its network. A negative `phi` gives a smaller network.
    """
    return Factors(depth=alpha**phi, width=beta**phi, size=gamma**phi)


def scaled(config: Own, factors: Factors) -> Own:
    """Return the config with its depth and width multiplied; the image size is not part of it."""
    return dataclasses.replace(
        config,
        depth_factor=config.depth_factor * factors.depth,
        width_factor=config.width_factor * factors.width,
    )


def fit_width(config: Own, *, macs: float, image_size: Size) -> Own:
    """Return the config with the width whose number of multiply-adds is nearest to `macs`.

    They are counted for one image of `image_size`, a side or height and width in pixels, with 1,000
    classes if the config has no number of classes. Widths grow in steps of 8 channels, so the work
    of a thin network can be a few percent off. Raises UserError if no width gives as little or as
    much work.
    """
    work = _work_of_width(config, image_size)
    low, high = 1 / _WIDEST, 1.0
    while work(high) < macs and high < _WIDEST:
        low, high = high, 2 * high
    if not work(low) <= macs <= work(high):
        raise UserError(
            f"macs = {macs:g}: a {config.kind} of this depth has from {work(low):.3g} to "
            f"{work(high):.3g} at {size_text(image_size)} px",
            "choose another number, depth or image size",
        )
    # The work grows in jumps, so the bisection ends at two widths with a jump between them.
    while high - low > _STEP * high:
        middle = (low + high) / 2
        low, high = (low, middle) if work(middle) > macs else (middle, high)
    nearest = min((low, high), key=lambda width: abs(work(width) - macs))
    return dataclasses.replace(config, width_factor=nearest)


def _work_of_width(config: OwnConfig, image_size: Size) -> Callable[[float], int]:
    """Return the function from a width factor to the multiply-adds of the config's network."""
    import torch

    from trickbag.models.counting import count_macs
    from trickbag.models.zoo import raw_network

    num_classes = config.num_classes or _DEFAULT_CLASSES

    # Cached: the search asks for the work of its two ends again and again.
    @functools.cache
    def work(width: float) -> int:
        resized = dataclasses.replace(config, width_factor=width, num_classes=num_classes)
        with torch.device("meta"):
            network = raw_network(resized)
        return count_macs(network, image_size, config.in_channels)

    return work
