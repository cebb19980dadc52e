"""What a corruption is: random draws for each image, and a function of a batch and its draws.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from trickbag.errors import UserError
from trickbag.streams import stream

__all__ = ["Corruption", "Draws", "Group", "ImageSize"]

Group = Literal["noise", "blur", "weather", "digital", "extra"]
ImageSize = tuple[int, int, int]
"""Channels, height and width of an image."""
Draws = Mapping[str, Tensor]
"""Random numbers by name; the first dimension is that of the images. float64 is on the CPU."""


def no_draws(
    rng: np.random.Generator, size: ImageSize, parameters: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw nothing, for a corruption without chance."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One corruption of ImageNet-C.

    group: `extra` are the four that are no part of the mean corruption error. channels: the
    numbers of channels that it takes; empty if it takes any number. `draw(rng, size, parameters)`
    draws all random numbers of one image, as arrays by name. `apply(images, draws, parameters)`
    maps uint8 images (N, C, H, W) and their draws to uint8 images of the same shape; `frost`
    gets the pictures of frost as a fourth argument, and has `pictures` set.
    """

    name: str
    group: Group
    apply: Callable[..., Tensor]
    draw: Callable[[np.random.Generator, ImageSize, Any], dict[str, np.ndarray[Any, Any]]] = (
        no_draws
    )
    channels: tuple[int, ...] = ()
    pictures: bool = False

    def takes(self, channels: int) -> bool:
        """Say whether the corruption is defined for images of so many channels."""
        return not self.channels or channels in self.channels

    def check(self, channels: int) -> None:
        """Raise UserError if the corruption is not defined for images of so many channels."""
        if not self.takes(channels):
            counts = " or ".join(map(str, self.channels))
            raise UserError(
                f"{self.name} needs images of {counts} channels; these have {channels}",
                "leave it out",
            )

    def draws_of(
        self, seed: int, severity: int, index: int, size: ImageSize, parameters: Any
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Draw the random numbers of the image at `index` of its data set."""
        rng = stream(seed, f"corruption:{self.name}:{severity}", index=index)
        return self.draw(rng, size, parameters)
