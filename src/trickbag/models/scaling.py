"""Compound scaling: multiply a network's depth, its width and the size of the images together.

Source: Tan & Le 2019 (arXiv 1905.11946), section 3.3, equation 3.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from trickbag.data.size import SMALLEST_SIDE, sizes_text
from trickbag.data.size import scaled as resized
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from torch import nn

    from trickbag.data.size import Size
    from trickbag.models.config import OwnConfig

    Own = TypeVar("Own", bound=OwnConfig)

__all__ = [
    "Factors",
    "compound",
    "fit_depth",
    "fit_size",
    "fit_width",
    "scaled",
    "tensor_shapes",
]

_SMALLEST, _LARGEST = 1 / 64, 16.0
"""The range of factors; no config takes a larger one."""

_STEP = 1e-3
"""The relative step between two factors: smaller than 8 of 512 channels in the widest stage."""

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


def fit_depth(config: Own, *, macs: float, image_size: Size) -> Own:
    """Return the config with the depth whose number of multiply-adds is nearest to `macs`.

    They are counted as by `fit_width`. A stage grows by whole blocks, so the work of a shallow
    network can be far off. Raises UserError if no depth gives as little or as much work.
    """

    def deeper(factor: float) -> tuple[Own, Size]:
        return dataclasses.replace(config, depth_factor=factor), image_size

    return deeper(_nearest_factor(deeper, macs, "of this width"))[0]


def fit_width(config: Own, *, macs: float, image_size: Size) -> Own:
    """Return the config with the width whose number of multiply-adds is nearest to `macs`.

    They are counted for one image of `image_size`, a side or height and width in pixels, with 1,000
    classes if the config has no number of classes. Widths grow in steps of 8 channels, so the work
    of a thin network can be a few percent off. Raises UserError if no width gives as little or as
    much work.
    """

    def wider(factor: float) -> tuple[Own, Size]:
        return dataclasses.replace(config, width_factor=factor), image_size

    return wider(_nearest_factor(wider, macs, "of this depth"))[0]


def fit_size(config: OwnConfig, *, macs: float, image_size: Size) -> Size:
    """Return the size of images of the shape of `image_size` that is nearest to `macs`.

    They are counted as by `fit_width`. Sizes are whole pixels, and the maps of a network grow in
    steps of its strides. Raises UserError if no size gives as little or as much work.
    """

    def larger(factor: float) -> tuple[OwnConfig, Size]:
        return config, resized(image_size, factor, SMALLEST_SIDE)

    return larger(_nearest_factor(larger, macs, "of this depth and width"))[1]


def _nearest_factor(
    change: Callable[[float], tuple[OwnConfig, Size]], macs: float, which: str
) -> float:
    """Return the factor of which the network and image size have nearest to `macs` multiply-adds.

    `change` returns them for a factor, and their work grows with it. `which` says what of the
    network it leaves alone. Raises UserError where no factor gives as little or as much work.
    """
    from trickbag.models.counting import count_macs

    counts: dict[Hashable, int] = {}

    # Cached: the search asks for the work of its two ends again and again.
    @functools.cache
    def work(factor: float) -> int:
        config, image_size = change(factor)
        network = _on_shapes(config)
        # Factors near each other often give one network, and building it is cheaper than counting.
        key = image_size, tensor_shapes(network)
        if key not in counts:
            counts[key] = count_macs(network, image_size, config.in_channels)
        return counts[key]

    low, high = _SMALLEST, 1.0
    while work(high) < macs and high < _LARGEST:
        low, high = high, 2 * high
    if not work(low) <= macs <= work(high):
        (config, small), (_, large) = change(low), change(high)
        raise UserError(
            f"macs = {macs:g}: a {config.kind} {which} has from {work(low):.3g} to "
            f"{work(high):.3g} at {sizes_text((small, large), ' to ')} px",
            "choose another number, depth or image size",
        )
    # The work grows in jumps, so the bisection ends at two factors with a jump between them.
    while high - low > _STEP * high:
        middle = (low + high) / 2
        low, high = (low, middle) if work(middle) > macs else (middle, high)
    return min((low, high), key=lambda factor: abs(work(factor) - macs))


def tensor_shapes(network: nn.Module) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a network's tensors: they tell the depth and width of one config."""
    return tuple(tuple(tensor.shape) for tensor in network.state_dict().values())


def _on_shapes(config: OwnConfig) -> nn.Module:
    """Return a config's network without values, with 1,000 classes if it has no number of them."""
    from trickbag.models.zoo import build_on_shapes

    num_classes = config.num_classes or _DEFAULT_CLASSES
    return build_on_shapes(dataclasses.replace(config, num_classes=num_classes))
